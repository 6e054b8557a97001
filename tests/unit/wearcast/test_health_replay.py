"""A stored past through fresh estimators: services in between, findings told, refusals with their reason."""

from datetime import timedelta

from edge_agent.testing import START
from telemetry.records import EventKind, Sample, ServiceRecord
from tests.unit.edge_agent.service_support import Keeping, record
from wearcast.health_replay import replay


def drive(seconds: int, speed: float = 50.0) -> list[Sample]:
    return [
        Sample(time=START + timedelta(seconds=n), monotonic_ms=1000 * n, values={"Vehicle.Speed": speed})
        for n in range(seconds)
    ]


class Ordered(Keeping):
    """Notes how many samples it had when it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.samples_before: list[int] = []

    def serviced(self, record: ServiceRecord) -> None:
        super().serviced(record)
        self.samples_before.append(self.samples)


def test_a_service_counts_where_it_was_done() -> None:
    estimator = Ordered()
    late, early = record(1, time=START + timedelta(seconds=7)), record(2, time=START + timedelta(seconds=2.5))
    after = record(3, time=START + timedelta(days=1))
    result = replay(drive(10), [late, early, after], [estimator])
    assert estimator.samples_before == [3, 7, 10]
    assert estimator.told == [str(entry.id) for entry in (early, late, after)]
    assert (result.samples, result.first, result.last) == (10, START, START + timedelta(seconds=9))
    assert [entry.value for entry in result.estimates] == [3.0]
    assert result.estimates[0].time == START + timedelta(seconds=9)


def test_what_is_refused_is_told_and_changes_nothing() -> None:
    estimator = Keeping()
    result = replay(drive(3), [record(1, value=120.0)], [estimator])
    assert estimator.told == []
    assert len(result.refused) == 1
    assert "more than all" in result.refused[0]


def test_findings_are_given_in_their_order() -> None:
    result = replay(drive(2, speed=220.0), [], [Keeping()])
    assert [event.kind for event in result.findings] == [EventKind.SIGNAL_DOUBTED] * 2
    assert result.findings[0].time < result.findings[1].time


def test_without_samples_there_is_nothing() -> None:
    result = replay([], [], [Keeping()])
    assert (result.samples, result.first, result.estimates) == (0, None, ())
