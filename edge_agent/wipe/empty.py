"""What goes when a dongle is emptied: every file in which something of the car or its trips may be.

What stays tells nothing of either: configuration, certificate, the compiled DBC, the last known time.
"""

from pathlib import Path
from typing import Final

from edge_agent.errors import OutboxError
from edge_agent.wipe.record import read_record, sync_folder, write_record

# Beside the outbox with its journal and damaged copies, in which estimators and recognition keep what they know too.
_OF_THE_CAR: Final = ("bus.json", "bus.new")  # bit rates that were found, and half written


def files_of_the_car(outbox: Path) -> list[Path]:
    """Those that are there. The lock is none: who empties holds it."""
    whole, parts = {outbox.name, *_OF_THE_CAR}, (f"{outbox.name}.", f"{outbox.name}-")
    # Compared and not matched: an outbox's name may hold what means something in a pattern.
    return [
        file
        for file in sorted(outbox.parent.iterdir())
        if (file.name in whole or file.name.startswith(parts)) and file.name != f"{outbox.name}.lock"
    ]


def empty(outbox: Path) -> list[Path]:
    """Delete them, gone from the disk when this returns; the files deleted. The caller holds the outbox.

    Flash memory may keep deleted blocks until it writes them over: only flashing the card anew, or destroying it, is
    certain. OutboxError where the disk refuses: it may be read-only by now, as worn cards are.
    """
    try:
        files = files_of_the_car(outbox)
        for file in files:
            file.unlink(missing_ok=True)
        if files:
            sync_folder(outbox.parent)
    except OSError as error:
        raise OutboxError(
            f"{outbox.parent} cannot be emptied: {error}; where the card is worn out, destroy it"
        ) from error
    return files


def finish_wipe(outbox: Path) -> None:
    """Do what the record says is begun. The caller holds the outbox."""
    record = read_record(outbox)
    if record.state == "begun":
        write_record(outbox, record.done(len(empty(outbox))))
