"""What the ECUs of an unknown car answer, without what names the car: for writing a profile. See :func:`take`."""
