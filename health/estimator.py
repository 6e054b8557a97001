"""What every estimator is: fed samples in time order, told of services, asked for estimates, saved and restored."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from telemetry.records import Estimate, Sample, ServiceRecord, VehicleEvent

Json = dict[str, object]


class Estimator(Protocol):
    """One wear quantity of one car, as a recursion over samples: memory does not grow with history."""

    name: str  # stable key under which the state is stored, e.g. "oil_life"

    def update(self, sample: Sample) -> None:
        """Take one sample; signals it does not need or that are absent are ignored. Older than the last: ignored."""
        ...

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:
        """What is known at ``now``; empty where nothing can be said honestly."""
        ...

    def serviced(self, record: ServiceRecord) -> None:
        """A person replaced, measured or adjusted the part. Of other quantities, or told before: ignored.

        HealthError where its value, unit or position makes no sense for this part.
        """
        ...

    def findings(self) -> tuple[VehicleEvent, ...]:
        """What it noticed since it was last asked (a change nobody reported, a doubtful signal), each told once.

        They are part of the state until they are taken, so that a restart neither loses nor repeats one.
        """
        ...

    def state(self) -> Json:
        """All that is needed to go on after a restart, as JSON values."""
        ...

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from a state; HealthError if it is not one of this estimator."""
        ...
