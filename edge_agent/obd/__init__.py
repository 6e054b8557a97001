"""Protocol knowledge of the diagnostic connector: bytes in, values or faults out. No bus and no clock here."""
