"""Blocks of pad wear: friction energy, drives, calibration by thickness. Start with :mod:`health.brake_pads`."""
