"""The language both ends of Wearcast speak: signals, units, records, wire format, topics, trouble codes.

Start with :mod:`telemetry.wire`: bytes in, records out. What belongs here is what the dongle and the backend
must agree on, and nothing else: no input or output, no clock, no import from another of our packages.
"""
