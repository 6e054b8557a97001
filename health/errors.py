"""Errors of this package."""


class HealthError(Exception):
    """Base of all errors of this package; the text says what is wrong and what to do."""
