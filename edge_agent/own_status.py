"""What the dongle tells of itself in its status, and where batches go in its log: enough to see from afar how it is."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from typing import Final, Literal

from edge_agent.clock import Clock
from edge_agent.config import TlsConfig
from edge_agent.enrolment.identity import Identity
from edge_agent.outbox import Outbox
from telemetry.records import Acknowledgement, BatchKey, DeviceStatus, ms_from_utc
from telemetry.trace import trace_id

log = logging.getLogger(__name__)

_GIVEN_UP: Final = ("samples_thinned", "samples_given_up")
_MOST_LOGGED: Final = 200  # batches of one acknowledgement


class OwnStatus:
    """Puts the status together; ``resent`` counts batches published again since the start."""

    def __init__(self, *, device: str, outbox: Outbox, clock: Clock, tls: TlsConfig | None) -> None:
        self.resent = 0
        self._device = device
        self._outbox = outbox
        self._clock = clock
        self._tls = tls

    def now(self, state: Literal["online", "offline"], *, planned: bool | None = None) -> DeviceStatus:
        """The status. ``planned``, of an "offline": whether the device says it itself or its last will does."""
        moment = self._clock.now()
        counted = self._outbox.counters()
        oldest_ms = self._outbox.oldest_ms()
        return DeviceStatus(
            device=self._device,
            boot=self._clock.boot,
            state=state,
            time=moment,
            version=metadata.version("wearcast"),
            pending_batches=self._outbox.pending_batches(),
            oldest_pending_seconds=0 if oldest_ms is None else max(0, ms_from_utc(moment) - oldest_ms) // 1000,
            samples_given_up=sum(counted.get(name, 0) for name in _GIVEN_UP),
            batches_resent=self.resent,
            certificate_ends=certificate_ends(self._tls),
            planned=planned,
        )


def certificate_ends(tls: TlsConfig | None) -> datetime | None:
    """When the certificate shown to the broker ends; None without one, or where it does not say (made elsewhere)."""
    if tls is None or tls.certificate is None:
        return None
    identity = Identity(tls.certificate.parent)
    dates = identity.dates() if identity.pair == tls.certificate else None
    return None if dates is None else datetime.fromtimestamp(dates.ends_at, UTC)


def log_published(keys: Iterable[BatchKey]) -> None:
    """At level DEBUG, each batch with its trace."""
    if log.isEnabledFor(logging.DEBUG):
        for key in keys:
            log.debug("published batch %s", key, extra={"trace_id": trace_id(key), "device": key.device})


def log_acknowledged(ack: Acknowledgement) -> None:
    """At level DEBUG, each batch that is committed with its trace."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    sequences = (number for first, last in ack.committed for number in range(first, last + 1))
    for sequence, _ in zip(sequences, range(_MOST_LOGGED), strict=False):
        key = BatchKey(device=ack.device, boot=ack.boot, sequence=sequence)
        log.debug("batch %s is committed", key, extra={"trace_id": trace_id(key), "device": key.device})
