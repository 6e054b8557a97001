"""A car's stored past through fresh estimators: what they would say today. Pure.

A service counts at the moment it was done; the dongle hears of it later, and puts itself right then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from health.errors import HealthError
from health.estimator import Estimator
from telemetry.records import Estimate, Sample, ServiceRecord, VehicleEvent


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What came of it. ``refused``: services the estimators could not take, with the reason."""

    samples: int
    first: datetime | None
    last: datetime | None
    estimates: tuple[Estimate, ...]
    findings: tuple[VehicleEvent, ...]
    refused: tuple[str, ...]


def replay(samples: Iterable[Sample], services: Sequence[ServiceRecord], estimators: Sequence[Estimator]) -> Replayed:
    """Feed samples in time order and each service at its time; estimates as of the last sample."""
    waiting = sorted(services, key=lambda record: record.time)
    findings: list[VehicleEvent] = []
    refused: list[str] = []
    count, first, last = 0, None, None
    for sample in samples:
        while waiting and waiting[0].time <= sample.time:
            refused += _tell(waiting.pop(0), estimators)
        for estimator in estimators:
            estimator.update(sample)
            findings += estimator.findings()
        count, first, last = count + 1, first or sample.time, sample.time
    for record in waiting:
        refused += _tell(record, estimators)
    estimates = () if last is None else tuple(entry for each in estimators for entry in each.estimates(last))
    return Replayed(
        samples=count, first=first, last=last, estimates=estimates, findings=tuple(findings), refused=tuple(refused)
    )


def _tell(record: ServiceRecord, estimators: Sequence[Estimator]) -> list[str]:
    """All or nothing, as on the dongle."""
    before = [estimator.state() for estimator in estimators]
    try:
        for estimator in estimators:
            estimator.serviced(record)
    except HealthError as error:
        for estimator, state in zip(estimators, before, strict=True):
            estimator.restore(state)
        return [f"{record.quantity} {record.action} at {record.time.isoformat()}: {error}"]
    return []
