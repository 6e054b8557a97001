"""What all tests of the dongle share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from edge_agent.outbox import Outbox
from telemetry.wire import Form


@pytest.fixture(autouse=True)
def outboxes_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what a test leaves open, as a kill does: Python 3.13 warns of databases that are not."""
    opened: list[Outbox] = []
    really_open = Outbox.open

    def open_and_remember(
        path: Path | Literal[":memory:"],
        *,
        device: str,
        max_bytes: int,
        form: Form = "compact",
        repairing: Callable[[], object] = lambda: None,
        working: Callable[[], object] = lambda: None,
    ) -> Outbox:
        outbox = really_open(path, device=device, max_bytes=max_bytes, form=form, repairing=repairing, working=working)
        opened.append(outbox)
        return outbox

    monkeypatch.setattr(Outbox, "open", open_and_remember)
    yield
    for outbox in opened:
        outbox.close()
