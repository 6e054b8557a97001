"""Tells the backend what a person did at the car: an event in the outbox, sent when the agent runs next."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from edge_agent.clock import SystemClock
from edge_agent.config import AgentConfig
from edge_agent.diagnose.codes import CodesReport
from edge_agent.errors import OutboxError
from edge_agent.outbox import Outbox
from edge_agent.wipe.record import read_record
from telemetry.records import EventKind, VehicleEvent, ms_from_utc


class Report:
    """The way to the backend, open before anything is done: a running agent would keep it shut."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def cleared(self, before: CodesReport, *, at: datetime, by: str) -> None:
        """Accept the event that ``by`` cleared these codes."""
        codes = [
            {"code": entry.code.code, "ecu": entry.code.ecu, "status": entry.code.status}
            for entry in before.entries or ()
        ]
        event = VehicleEvent(time=at, kind=EventKind.CODES_CLEAR_COMMANDED, data={"by": by, "codes": codes})
        self._outbox.add_events((event,), created_ms=ms_from_utc(at), clock_ms=None)


@contextmanager
def reporting(config: AgentConfig) -> Iterator[Report]:
    """A report by the outbox of that configuration; OutboxError while an agent runs on it, with what to do."""
    clock = SystemClock(config.last_known_time_path)
    if read_record(config.outbox_path).state != "served":
        raise OutboxError(
            "the backend could not be told: this dongle was emptied, and keeps nothing of a car until a new service "
            "begins (wearcast agent enable). Name the adapter by --adapter without --config"
        )
    try:
        outbox = Outbox.open(config.outbox_path, device=config.device, max_bytes=config.outbox_max_bytes)
    except OutboxError as error:
        raise OutboxError(
            f"the backend could not be told: {error}. Stop the agent first (sudo systemctl stop wearcast-agent), or "
            "name the adapter by --adapter without --config: then only the file of this machine records it"
        ) from error
    with outbox:
        outbox.begin_boot(clock.boot, clock.kernel_boot)
        yield Report(outbox)
