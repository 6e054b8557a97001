"""A group of checked records -> one transaction. Open ``writer.py`` first."""
