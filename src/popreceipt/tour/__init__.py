"""A tour of a tenant: everything that its wire alone can show, set up at once, waited for once."""
