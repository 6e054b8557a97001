"""Readings -> decisions -> alerts -> bookings. Start with :mod:`rules.engine`."""
