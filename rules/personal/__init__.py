"""A person's rights over everything that is stored: a copy of it, and its end."""
