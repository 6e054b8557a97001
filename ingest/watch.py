"""What a worker tells of itself while it works: its pulse, its figures, and the traces of what it stored."""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from ingest import metrics
from ingest.decoding.decode import Incoming
from ingest.pulse import PULSE
from ingest.sources.port import Source
from ingest.storing.writer import Outcome
from telemetry.records import Acknowledgement, BatchKey
from telemetry.trace import trace_id

logger = logging.getLogger(__name__)

LONGEST_GROUP_SECONDS: Final = 120.0  # a group that is not committed by then is a fault: readiness ends
_TURN_SECONDS: Final = 1.0
_OVERDUE_SECONDS: Final = 30.0  # an event loop that stands still for that long is dead
_SUMMARY_SECONDS: Final = 60.0


async def keep_pulse(source: Source) -> None:
    """Say until cancelled that the event loop turns and whether the broker is there; sum up once a minute."""
    try:
        summed_at, before = time.monotonic(), _stored()
        while True:
            PULSE.turn("event loop", _OVERDUE_SECONDS)
            _broker(connected=source.connected)
            await asyncio.sleep(_TURN_SECONDS)
            if time.monotonic() - summed_at >= _SUMMARY_SECONDS:
                summed_at, now = time.monotonic(), _stored()
                if now != before:
                    batches, samples = now[0] - before[0], now[1] - before[1]
                    logger.info("stored %.0f batches with %.0f samples in a minute", batches, samples)
                before = now
    finally:
        PULSE.ended("event loop")
        PULSE.well("broker")


def stored(group: Sequence[Incoming], outcome: Outcome, *, seconds: float, now: datetime) -> None:
    """A group is committed: count it, and at level DEBUG log each batch with its trace."""
    PULSE.well("database")
    _count(group, outcome, seconds=seconds, now=now)
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("committed %d messages in %.3f s", len(group), seconds)
        for acknowledgement in outcome.acknowledgements:
            _log_batches(acknowledgement)


def not_stored(reason: str) -> None:
    """The database did not take a group, which is tried again."""
    PULSE.trouble("database", reason)
    metrics.FAILURES.labels("commit").inc()


def _count(group: Sequence[Incoming], outcome: Outcome, *, seconds: float, now: datetime) -> None:
    metrics.MESSAGES.inc(len(group))
    metrics.BATCHES.inc(outcome.batches)
    metrics.SAMPLES.inc(outcome.samples)
    metrics.DUPLICATES.inc(outcome.duplicates)
    for reason, messages in outcome.reasons.items():
        metrics.REJECTED.labels(reason).inc(messages)
    metrics.GROUP_MESSAGES.observe(len(group))
    if outcome.batches:
        metrics.BATCH_SAMPLES.observe(outcome.samples / outcome.batches)
    metrics.COMMIT_SECONDS.observe(seconds)
    metrics.LAG_SECONDS.observe(max(0.0, (now - min(message.received_at for message in group)).total_seconds()))
    if outcome.newest_sample_at is not None:
        metrics.SAMPLE_AGE_SECONDS.observe(max(0.0, (now - outcome.newest_sample_at).total_seconds()))


def _broker(*, connected: bool) -> None:
    metrics.BROKER_CONNECTED.set(int(connected))
    if connected:
        PULSE.well("broker")
    else:
        PULSE.trouble("broker", "not connected; messages wait there and in the dongles")


def _stored() -> tuple[float, float]:
    return metrics.BATCHES._value.get(), metrics.SAMPLES._value.get()  # noqa: SLF001 - the library offers no way to read


def _log_batches(acknowledgement: Acknowledgement) -> None:
    for first, last in acknowledgement.committed:
        for sequence in range(first, last + 1):
            key = BatchKey(device=acknowledgement.device, boot=acknowledgement.boot, sequence=sequence)
            logger.debug("committed batch %s", key, extra={"trace_id": trace_id(key), "device": key.device})
