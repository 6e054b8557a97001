"""What an engineer asks a car at the command line: over any tester, with nothing but an adapter. Prints nothing."""
