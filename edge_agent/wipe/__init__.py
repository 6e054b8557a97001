"""The end of the dongle's service for one person: emptied from afar or by hand, and quiet until a new one begins."""
