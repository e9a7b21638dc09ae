"""The street: the thin shell that performs what the core decides, for many credentials at once."""
