"""Which car was recognised as what, kept over restarts as JSON: a car that is known is not asked again."""

from collections.abc import Mapping
from typing import Final

import msgspec

from edge_agent.recognition.fingerprint import Fingerprint
from edge_agent.recognition.judge import Recognition

_CARS: Final = 8  # a dongle that goes from car to car forgets the one it saw first
_NO_VIN: Final = ""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What one car was recognised as.

    ``settled``: asking again would tell no more; otherwise an ECU slept, or nobody answered. ``profiles``: a digest of
    the profiles it was chosen from, so that an update may know better. ``vin_at``: CAN identifiers, request and answer,
    of the ECU that gave the VIN by identifier; None where standard OBD gives it.
    """

    profile: str
    title: str
    certainty: float
    reasons: tuple[str, ...]
    settled: bool
    profiles: str
    identifier_bits: int | None = None
    vin_at: tuple[int, int] | None = None

    @classmethod
    def of(cls, found: Recognition, fingerprint: Fingerprint, *, settled: bool, profiles: str) -> "Known":
        """A fresh recognition."""
        at = fingerprint.vin_at
        return cls(
            profile=found.profile,
            title=found.title,
            certainty=found.certainty,
            reasons=found.reasons,
            settled=settled,
            profiles=profiles,
            identifier_bits=fingerprint.identifier_bits,
            vin_at=None if at is None else (at.transmit_id, at.receive_id),
        )


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The cars by VIN (a car without one stands under an empty text), and which of them was last."""

    cars: dict[str, Known] = {}
    last: str | None = None

    @classmethod
    def from_state(cls, state: object) -> "Memory":
        """What :meth:`to_state` gave; an empty memory for None or for what cannot be taken up."""
        try:
            return cls() if state is None else msgspec.convert(state, cls)
        except msgspec.ValidationError:
            return cls()  # the car is recognised again, which costs some seconds

    def to_state(self) -> object:
        """All of it as JSON values."""
        return msgspec.to_builtins(self)

    def with_car(self, vin: str | None, known: Known) -> "Memory":
        """The same with this car as the last one."""
        key = vin or _NO_VIN
        cars: Mapping[str, Known] = {other: kept for other, kept in self.cars.items() if other != key}
        newest = dict(list(cars.items())[-(_CARS - 1) :]) | {key: known}
        return Memory(cars=newest, last=key)

    def of(self, vin: str | None) -> Known | None:
        """What that car was recognised as, None if it is unknown."""
        return self.cars.get(vin or _NO_VIN)

    @property
    def last_vin(self) -> str | None:
        """VIN of the last car, None if it had none or there was no car."""
        return self.last or None

    @property
    def last_car(self) -> Known | None:
        """The car this dongle was in last."""
        return None if self.last is None else self.cars.get(self.last)
