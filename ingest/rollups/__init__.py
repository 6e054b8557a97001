"""Roll-ups per hour and day, and how long what is stored is kept. docs/storage.md tells how and why."""
