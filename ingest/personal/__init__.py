"""Personal data: sealed in the database, masked where it is shown, and gone when its person asks for that."""
