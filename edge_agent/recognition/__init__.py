"""Which profile a car has: what it shows of itself (:mod:`fingerprint`), and what that means (:mod:`judge`)."""
