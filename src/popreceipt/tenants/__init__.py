"""A real environment as its owner describes it: where it is, who we are there, and what we may do."""
