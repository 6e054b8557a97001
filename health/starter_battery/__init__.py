"""Blocks of the 12 V battery: cranking, rest, their joining. Start with :mod:`health.low_voltage_battery`."""
