"""Blocks of tyre pressure loss: comparable pressures, their trend. Start with :mod:`health.tires`."""
