"""A simulated car: a physical model, and ECUs that answer for it on a python-can bus as those of a car do."""
