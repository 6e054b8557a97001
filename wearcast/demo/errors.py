"""Errors of the demo."""


class DemoError(Exception):
    """The demo did not reach its end: the text says which step and where to look."""
