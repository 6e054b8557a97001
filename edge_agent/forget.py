"""Emptying a dongle's store: for the end of its service in a car, when its owner asks to be forgotten."""

from pathlib import Path

from edge_agent.errors import OutboxError
from edge_agent.outbox_file import hold


def forget(outbox: Path) -> list[Path]:
    """Delete the outbox, its journal, damaged copies put aside and what estimators remember in it; the files deleted.

    OutboxError where an agent has it open. Flash memory may keep deleted blocks until it writes them over: only
    flashing the card anew, or destroying it, is certain.
    """
    if not outbox.parent.is_dir():
        return []
    lock = outbox.with_name(f"{outbox.name}.lock")
    try:
        held = hold(outbox)
    except OutboxError as error:
        raise OutboxError(f"outbox {outbox} is in use; stop the agent first: systemctl stop wearcast-agent") from error
    with held:
        files = [file for file in sorted(outbox.parent.glob(f"{outbox.name}*")) if file != lock]
        for file in files:
            file.unlink()
    return files
