"""Emptying a dongle's store by hand: for the end of its service in a car, when it is taken back."""

from datetime import datetime
from pathlib import Path
from typing import Final

from edge_agent.errors import OutboxError
from edge_agent.outbox_file import hold
from edge_agent.wipe.empty import empty
from edge_agent.wipe.record import WipeRecord, read_record, write_record

_EVERY_GENERATION: Final = 2**31 - 1  # no certificate begins a new service then, only a person


def forget(outbox: Path, now: datetime) -> list[Path]:
    """Delete what is stored of the car (:mod:`edge_agent.wipe.empty`); the files deleted.

    What the backend asked for before is not for the next service. A dongle that was emptied from afar stays quiet.
    OutboxError where an agent has it open.
    """
    if not outbox.parent.is_dir():
        return []
    try:
        held = hold(outbox)
    except OutboxError as error:
        raise OutboxError(f"outbox {outbox} is in use; stop the agent first: systemctl stop wearcast-agent") from error
    with held:
        files = empty(outbox)
        try:
            record = read_record(outbox)
        except OutboxError:
            record = WipeRecord(state="done", generation=_EVERY_GENERATION)  # it may have been emptied from afar
        write_record(outbox, record.served(now) if record.state == "served" else record.done(len(files)))
    return files


def enable(outbox: Path, now: datetime) -> bool:
    """Begin a new service; False where the last one has not ended. OutboxError where files are left of it."""
    record = read_record(outbox)
    if record.state == "begun":
        raise OutboxError(f"{outbox} is not empty yet; run `wearcast agent forget` first")
    if record.state == "served":
        return False
    write_record(outbox, record.served(now))
    return True
