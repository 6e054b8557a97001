"""What the subject of a certificate says: which device of which generation, or which service of the backend.

``CN`` is the name. A device's certificate carries ``OU=g<generation>`` from generation 1 on: a broker that maps whole
subjects lets in the present generation alone. A service's name holds a dot, which no device id may hold, so that no
device can be enrolled under a service's name.
"""

import re
from dataclasses import dataclass
from typing import Final

from telemetry.topics import require_device_id

SERVICE_PREFIX: Final = "service."
_SERVICE = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_GENERATION = re.compile(r"g([1-9][0-9]{0,8})")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Common name, and organizational unit or None."""

    common_name: str
    unit: str | None = None

    def __str__(self) -> str:
        """As RFC 4514 writes it, the last part first; names of ours hold nothing that would need escaping."""
        return f"CN={self.common_name}" if self.unit is None else f"CN={self.common_name},OU={self.unit}"


def device_subject(device: str, generation: int) -> Subject:
    """Of a device's certificate. ValueError for what is no device id."""
    return Subject(common_name=require_device_id(device), unit=f"g{generation}" if generation else None)


def service_subject(service: str) -> Subject:
    """Of a service's certificate: ``CN=service.ingest``. ValueError for a name that cannot be one."""
    if _SERVICE.fullmatch(service) is None:
        raise ValueError(f"service {service!r}: use 1 to 48 small letters, digits, '-' or '_', for example ingest")
    return Subject(common_name=SERVICE_PREFIX + service)


def generation_of(subject: Subject) -> int:
    """Of a device's certificate. ValueError where the unit is not one that we write."""
    if subject.unit is None:
        return 0
    found = _GENERATION.fullmatch(subject.unit)
    if found is None:
        raise ValueError(f"the certificate's unit {subject.unit[:20]!r} names no generation")
    return int(found[1])
