"""Wearcast: the composition root, which puts the packages together into one command.

Kept light: importing it must cost nothing, because the bootstrap runs before any dependency is installed.
"""

__version__ = "0.1.0"
