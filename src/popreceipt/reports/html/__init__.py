"""A result as one self-contained page of HTML that people like to read: on a phone, on a screen, on paper."""
