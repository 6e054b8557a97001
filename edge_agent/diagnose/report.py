"""Tells the backend what a person did at the car: an event in the outbox, sent when the agent runs next."""

from datetime import datetime

from edge_agent.clock import SystemClock
from edge_agent.config import AgentConfig
from edge_agent.diagnose.codes import CodesReport
from edge_agent.outbox import Outbox
from telemetry.records import EventKind, VehicleEvent, ms_from_utc


def queue_cleared(config: AgentConfig, before: CodesReport, *, at: datetime, by: str) -> None:
    """Accept the event that ``by`` cleared these codes; OutboxError while an agent runs on this outbox."""
    codes = [
        {"code": entry.code.code, "ecu": entry.code.ecu, "status": entry.code.status} for entry in before.entries or ()
    ]
    event = VehicleEvent(time=at, kind=EventKind.CODES_CLEAR_COMMANDED, data={"by": by, "codes": codes})
    clock = SystemClock(config.last_known_time_path)
    with Outbox.open(config.outbox_path, device=config.device, max_bytes=config.outbox_max_bytes) as outbox:
        outbox.begin_boot(clock.boot, clock.kernel_boot)
        outbox.add_events((event,), created_ms=ms_from_utc(at), clock_ms=None)
