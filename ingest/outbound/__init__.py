"""What goes out to dongles: service records, wipes, questions. Open ``courier.py`` first."""
