"""What the tests of wipes share."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from edge_agent.outbox import Outbox
from telemetry.wipe import Wipe

DEVICE = "car-7"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
VIN = "WVWZZZ6RZHY123456"


def wipe(number: int = 1, *, generation: int = 0, issued: datetime = NOW, days: float = 30) -> Wipe:
    return Wipe(
        id=UUID(int=number),
        device=DEVICE,
        generation=generation,
        issued=issued,
        expires=issued + timedelta(days=days),
    )


def fill(folder: Path) -> Path:
    """A store with a car in all of its files; its outbox."""
    outbox = folder / "outbox.sqlite"
    with Outbox.open(outbox, device=DEVICE, max_bytes=10_000_000) as opened:
        opened.begin_boot(uuid4())
        opened.put_state("recognition", {"last": VIN})
    for name in ("outbox.sqlite.damaged-20260101T000000000000", "outbox.sqlite.suspect", "bus.json"):
        (folder / name).write_text(VIN)
    return outbox


def with_the_car(folder: Path) -> set[str]:
    """Files in which the car is named."""
    return {file.name for file in folder.rglob("*") if file.is_file() and VIN.encode() in file.read_bytes()}
