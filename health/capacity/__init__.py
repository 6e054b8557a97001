"""Blocks of battery capacity: windows of a charge and their pooling. Start with :mod:`health.traction_battery`."""
