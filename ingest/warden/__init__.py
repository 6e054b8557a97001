"""Keeps one device from harming the others: limits per device, and who breaks them again and again is kept out.

``bucket`` and ``limits`` decide and are pure; ``blocks`` are the database's; ``warden`` stands between broker and
store.
"""
