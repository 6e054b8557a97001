"""Blocks of oil life: temperature, use, distance unseen, changes not reported. Start with :mod:`health.oil_life`."""
