"""The booking domain: workshops' time, offers, and the life of a booking. Read :mod:`rules.booking.desk` first."""
