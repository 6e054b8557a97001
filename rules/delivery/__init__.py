"""What leaves the system: messages to owners and workshops, written with the decision and delivered at least once."""
