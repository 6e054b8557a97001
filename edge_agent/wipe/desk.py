"""Takes wipes: judges each, writes down one that is to be obeyed, and words the answers."""

import logging
from datetime import datetime
from pathlib import Path

from edge_agent.config import TlsConfig
from edge_agent.wipe.generation import own_generation
from edge_agent.wipe.judge import judge
from edge_agent.wipe.record import WipeRecord, read_record, write_record
from telemetry.wipe import Wipe, WipeResult

log = logging.getLogger(__name__)


class WipeOrderedError(Exception):
    """A wipe is written down: close everything at once, then empty the dongle (:mod:`edge_agent.start`)."""


class WipeDesk:
    """Of one dongle. ``tls``: what it shows to the broker."""

    def __init__(self, *, device: str, outbox: Path, tls: TlsConfig | None) -> None:
        self._device = device
        self._outbox = outbox
        self._tls = tls

    def take(self, wipe: Wipe, now: datetime, *, batches: int) -> WipeResult | None:
        """The answer; None where the wipe is to be obeyed, which is on the disk then.

        ``batches``: that wait in the outbox. OutboxError where the disk refuses to write it down.
        """
        record = read_record(self._outbox)
        verdict = judge(wipe, record, generation=own_generation(self._tls), now=now)
        if verdict == "obey":
            log.warning("this dongle is being emptied: the backend says that its owner was erased (%s)", wipe.id)
            write_record(self._outbox, record.begun(wipe, batches=batches))
            return None
        if verdict == "again":
            return self.answer(record, now, wipe)
        log.warning("a wipe is refused (%s): %s", verdict, wipe.id)
        return WipeResult(id=wipe.id, device=self._device, state="refused", time=now, refusal=verdict)

    def answer(self, record: WipeRecord, now: datetime, wipe: Wipe | None = None) -> WipeResult | None:
        """That a wipe is done, by default the last one; None where there was none."""
        if not record.known:
            return None
        id_ = record.known[-1] if wipe is None else wipe.id
        last = id_ == record.known[-1]
        return WipeResult(
            id=id_,
            device=self._device,
            state="wiped",
            time=now,
            batches=record.batches if last else 0,
            files=record.files if last else 0,
        )
