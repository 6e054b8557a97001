"""What a dongle tells of itself: in its status, and to whoever asks it on the spot."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from edge_agent.config import TlsConfig
from edge_agent.enrolment.identity import Dates, Identity
from edge_agent.outbox import Outbox
from edge_agent.own_health import read_health
from edge_agent.own_status import OwnStatus, certificate_ends, log_acknowledged
from edge_agent.testing import FakeClock
from telemetry.records import Acknowledgement, BatchKey, Sample, ms_from_utc
from telemetry.trace import trace_id

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def sealed(path: Path, *ages: timedelta) -> Outbox:
    outbox = Outbox.open(path, device="wc-1", max_bytes=10_000_000)
    outbox.begin_boot(uuid4())
    for age in ages:
        sample = Sample(time=NOW - age, monotonic_ms=0, values={"Vehicle.Speed": 1.0})
        with outbox.transaction(durable=True):
            outbox.add_readings([sample], (), created_ms=ms_from_utc(NOW - age), clock_ms=None)
    return outbox


def test_age_of_the_oldest_batch_makes_the_health(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with sealed(path, timedelta(minutes=59), timedelta(minutes=1)):
        health = read_health(path, None, NOW)
        assert (health.batches_waiting, health.oldest_waits_s, health.problems) == (2, 59 * 60, ())
        (problem,) = read_health(path, None, NOW + timedelta(minutes=1)).problems
        assert problem.startswith("the oldest batch has waited 1.0 h")


def test_status_tells_age_and_whether_the_silence_is_meant(tmp_path: Path) -> None:
    with sealed(tmp_path / "outbox.sqlite", timedelta(minutes=10)) as outbox:
        own = OwnStatus(device="wc-1", outbox=outbox, clock=FakeClock(NOW), tls=None)
        own.resent = 3
        told = own.now("offline", planned=True)
        assert (told.pending_batches, told.oldest_pending_seconds, told.samples_given_up) == (1, 600, 0)
        assert (told.batches_resent, told.planned, told.certificate_ends) == (3, True, None)


def test_end_of_an_enrolled_certificate_is_told_and_of_another_is_not_known(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    ends = NOW + timedelta(days=2)
    identity.request_key(lambda: b"key")
    identity.keep_next(b"certificate", Dates(renew_at=NOW.timestamp(), ends_at=ends.timestamp()))
    identity.take_over()
    enrolled = TlsConfig(certificate=identity.pair, key=identity.pair)
    assert certificate_ends(enrolled) == ends
    assert certificate_ends(TlsConfig(certificate=tmp_path / "other.pem", key=tmp_path / "other.key")) is None
    with sealed(tmp_path / "outbox.sqlite"):
        path = tmp_path / "outbox.sqlite"
        assert "ends at 2026-03-04T12:00+00:00" in read_health(path, enrolled, NOW).problems[0]
        assert "ended at" in read_health(path, enrolled, ends).problems[0]
        assert read_health(path, enrolled, ends - timedelta(days=8)).problems == ()


def test_acknowledged_batches_are_logged_with_their_trace(caplog: pytest.LogCaptureFixture) -> None:
    boot = UUID(int=7)
    ack = Acknowledgement(device="wc-1", boot=boot, committed=((1, 2), (5, 5)))
    with caplog.at_level(logging.INFO, logger="edge_agent"):
        log_acknowledged(ack)
    assert caplog.records == []
    with caplog.at_level(logging.DEBUG, logger="edge_agent"):
        log_acknowledged(ack)
    expected = [trace_id(BatchKey(device="wc-1", boot=boot, sequence=number)) for number in (1, 2, 5)]
    assert [record.__dict__["trace_id"] for record in caplog.records] == expected
