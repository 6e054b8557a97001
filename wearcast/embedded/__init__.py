"""The private services one machine runs by itself: environment, database, broker, processes.

``apt``, ``bootstrap``, ``paths`` and ``errors`` use the standard library only: they run before anything
is installed.
"""
