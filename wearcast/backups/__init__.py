"""Sealed backups of the database, and what keeps an erased person erased in them."""
