"""The profiles a car can be recognised as: those that ship, and those in ``vehicles/`` beside ``agent.yaml``."""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firmware_profiles.errors import FamilyError, FirmwareProfilesError
from firmware_profiles.loader import load_vehicle_profile, shipped_folder
from firmware_profiles.profile import VehicleProfile

log = logging.getLogger(__name__)

GENERIC: Final = "generic"
OWN_FOLDER: Final = "vehicles"


class Profiles:
    """Loads profiles when they are needed; one of ``own`` goes before one of the same name that ships."""

    def __init__(self, own: Path | None = None) -> None:
        """``own``: a folder of profiles, which need not be there."""
        self._own = own
        self.generic = load_vehicle_profile(GENERIC)

    def load(self, name: str) -> VehicleProfile:
        """The profile of that name; FirmwareProfilesError says what is wrong with it."""
        return load_vehicle_profile(self._files().get(name, name))

    def candidates(self) -> tuple[VehicleProfile, ...]:
        """All profiles that say how such a car is recognised. One of ``own`` that is wrong is told and left out."""
        return tuple(
            profile for path in self._files().values() for profile in _loaded(path) if profile.match is not None
        )

    def digest(self) -> str:
        """Changes when a file does."""
        content = hashlib.sha256()
        for name, path in self._files().items():
            content.update(f"{name}\0".encode() + path.read_bytes())
        return content.hexdigest()[:16]

    def _files(self) -> dict[str, Path]:
        folders = [shipped_folder("vehicles"), *([self._own] if self._own is not None else [])]
        return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def _loaded(path: Path) -> Iterator[VehicleProfile]:
    try:
        yield load_vehicle_profile(path)
    except FamilyError:
        return
    except FirmwareProfilesError as error:
        log.warning("a profile is left out: %s", error)
