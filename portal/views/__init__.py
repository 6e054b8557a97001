"""What each page shows, as records made from what was read: pure, no input or output."""
