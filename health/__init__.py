"""Readings -> health: estimators run on the dongle and over history (scalar recursion), forecasts in the backend.

Start with :mod:`health.estimator`. Nothing here does input or output or asks the clock.
"""
