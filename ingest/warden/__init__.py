"""Keeps one device from harming the others: limits per device, and who breaks them again and again is kept out.

``bucket``, ``limits``, ``meter`` and ``tally`` decide and are pure; ``blocks`` and ``shares`` are the database's;
``outage`` says what is pardoned after a silence; ``warden`` stands between broker and store.
"""
