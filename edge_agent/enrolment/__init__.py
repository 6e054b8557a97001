"""How the dongle gets its certificate and keeps it: its key is made here and never leaves it."""
