"""All profiles that ship, loaded once for all tests that are about each of them."""

from typing import Final

from firmware_profiles.loader import list_profiles

PROFILES: Final = list_profiles()
