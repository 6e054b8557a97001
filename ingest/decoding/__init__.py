"""Messages as they came -> checked records, or the reason why not. Open ``decode.py`` first."""
