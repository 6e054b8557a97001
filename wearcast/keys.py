"""Tells the process where its keys to personal data are."""

from ingest.personal.keyring import KeyRingFile
from ingest.personal.vault import use_keys
from wearcast.settings import Settings


def open_keys(settings: Settings) -> KeyRingFile:
    """Use the key ring of the settings; it is read, and if need be made, when the first person is opened."""
    ring = KeyRingFile(settings.personal_key_file)
    use_keys(lambda: ring)
    return ring
