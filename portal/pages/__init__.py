"""Routes, a module for each kind of page: read, check whose it is, make the view, render."""
