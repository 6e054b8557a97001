"""A source that is gone is opened again as soon as it can be seen to be back, however long the pause has become."""

import threading
from pathlib import Path

from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.errors import SourceError
from edge_agent.notify import Notifier
from edge_agent.outbox import Outbox
from edge_agent.sources.base import Reading
from edge_agent.testing import FakeClock, LoopbackUplink
from telemetry.records import Acknowledgement, BatchKey
from telemetry.topics import Channel

SPEED = "Vehicle.Speed"
AN_HOUR = 3600.0


class Pulled:
    """Cannot be opened at first, and is back when it is looked for the third time."""

    def __init__(self) -> None:
        self.opened = 0
        self.looks = 0
        self.polled = False

    def open(self) -> None:
        self.opened += 1
        if self.opened == 1:
            raise SourceError("it was unplugged", returned=self.returned)

    def returned(self) -> bool:
        self.looks += 1
        return self.looks == 3

    def poll(self) -> Reading | None:
        if self.polled:
            return None
        self.polled = True
        return Reading(values={SPEED: 42.0})

    def close(self) -> None:
        pass


class Hasty(threading.Event):
    """Waits for nothing; an agent that does not look would turn here for an hour."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        self.waits += 1
        if self.waits > 100:
            self.set()
        return self.is_set()


def test_what_is_seen_to_be_back_is_not_waited_for() -> None:
    source, taken = Pulled(), set[Channel]()

    def backend(key: BatchKey, channel: Channel, _payload: bytes) -> Acknowledgement:
        taken.add(channel)
        return Acknowledgement(device=key.device, boot=key.boot, committed=((key.sequence, key.sequence),))

    config = AgentConfig(device="car-1", source=SourceConfig(kind="obd_elm327"), outbox_path=Path("unused"))
    outbox = Outbox.open(":memory:", device="car-1", max_bytes=10_000_000)
    Agent(
        config=config,
        source=source,
        estimators=[],
        outbox=outbox,
        uplink=LoopbackUplink(device="car-1", outbox=outbox, backend=backend),
        clock=FakeClock(),
        notifier=Notifier({}),
        jitter=lambda: AN_HOUR,
    ).run(Hasty())
    assert (source.opened, source.looks) == (2, 3)
    assert "readings" in taken
