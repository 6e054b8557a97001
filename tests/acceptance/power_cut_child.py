"""Lives of a dongle, each ended from outside: the recorder and the outbox as the agent has them, forked anew each time.

Forking costs 10 ms where a start costs 300: so hundreds of power cuts fit into a test. Reads lines of a first number
and a seed from standard input, forks a life for each, and says its process id. A life accepts numbered samples with the
real recorder, says a number once it is on the disk, is told of services, seals batches, publishes them to a file in the
backend's place and acknowledges some.
"""

import itertools
import os
import random
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import cast
from uuid import UUID

import msgspec

from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.outbox import Outbox
from edge_agent.outbox_content import unpack
from edge_agent.recorder import Recorder
from edge_agent.sources.base import Reading
from edge_agent.testing import START, FakeClock
from telemetry.records import (
    Acknowledgement,
    Estimate,
    EventKind,
    EventsBatch,
    Quantity,
    Sample,
    ServiceAction,
    ServiceRecord,
    VehicleEvent,
)
from tests.unit.edge_agent.outbox_support import DEVICE, NUMBER

POLL_SECONDS = 0.34  # three samples in the group of a second
FINDS_EACH = 5  # samples
SERVICES = 60  # different ones, each told again and again


class Counting:
    """An estimator that counts samples and services, and finds something at every ``FINDS_EACH``-th sample."""

    name = "oil_life"

    def __init__(self) -> None:
        self.count = 0
        self.services = 0
        self.found: list[int] = []
        self.newest = START

    def update(self, sample: Sample) -> None:
        self.count += 1
        self.newest = sample.time
        if self.count % FINDS_EACH == 0:
            self.found.append(self.count)

    def estimates(self, now: datetime) -> tuple[Estimate, ...]:  # noqa: ARG002 - the port's signature
        return ()

    def serviced(self, record: ServiceRecord) -> None:  # noqa: ARG002 - the port's signature
        self.services += 1

    def findings(self) -> tuple[VehicleEvent, ...]:
        found, self.found = self.found, []
        kind = EventKind.SIGNAL_DOUBTED
        return tuple(VehicleEvent(time=self.newest, kind=kind, data={"count": count}) for count in found)

    def state(self) -> dict[str, object]:
        return {"count": self.count, "services": self.services, "found": self.found, "newest": str(self.newest)}

    def restore(self, state: Mapping[str, object]) -> None:
        self.count, self.services = int(str(state["count"])), int(str(state["services"]))
        self.found = list(cast("list[int]", state["found"]))
        self.newest = datetime.fromisoformat(str(state["newest"]))


def live(folder: Path, first: int, seed: int) -> None:
    """Until killed."""
    draw = random.Random(seed)
    config = AgentConfig(
        device=DEVICE, source=SourceConfig(kind="obd_can"), outbox_path=folder / "outbox.sqlite", batch_samples=7
    )
    clock = FakeClock(monotonic_ms=10_000_000 + first, kernel_boot=f"kernel-{first}")
    clock.advance(first)
    outbox = Outbox.open(config.outbox_path, device=DEVICE, max_bytes=4_000_000)
    recorder = Recorder(config=config, estimators=[Counting()], outbox=outbox, clock=clock)
    backend = os.open(folder / "backend", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    accepting: list[int] = []
    for number in itertools.count(first):
        values = {NUMBER: float(number % 60_000), "Vehicle.OBD.TimeSinceDTCCleared": float(number // 60_000)}
        recorder.accept(Reading(values=values))
        accepting.append(number)
        clock.advance(POLL_SECONDS)
        recorder.tick()
        if not recorder.waits_for_disk:
            os.write(1, "".join(f"{entry}\n" for entry in accepting).encode())
            accepting.clear()
        if draw.random() < 0.1:
            assert recorder.serviced(service(draw.randrange(SERVICES))).state == "applied"
        if draw.random() < 0.2:
            exchange(outbox, backend, draw)


def service(number: int) -> ServiceRecord:
    return ServiceRecord(
        id=UUID(int=number),
        time=START,
        quantity=Quantity.OIL_LIFE,
        action=ServiceAction.REPLACED,
        by="workshop",
        reason="oil changed",
    )


def exchange(outbox: Outbox, backend: int, draw: random.Random) -> None:
    """Publish some, oldest or newest first, and acknowledge some of them: acknowledgements get lost too."""
    newest_first = draw.random() < 0.5
    for entry in outbox.publish(outbox.waiting("readings", 3, newest_first=newest_first) + outbox.waiting("events", 2)):
        batch = unpack(DEVICE, entry.channel, entry.payload)
        numbers = [] if isinstance(batch, EventsBatch) else [number_of(sample.values) for sample in batch.samples]
        told = told_in(batch) if isinstance(batch, EventsBatch) else []
        os.write(backend, msgspec.json.encode({"key": str(entry.key), "n": numbers, "told": told}) + b"\n")
        if draw.random() < 0.7:
            this = (entry.key.sequence, entry.key.sequence)
            outbox.acknowledge(Acknowledgement(device=DEVICE, boot=entry.key.boot, committed=(this,)))


def told_in(batch: EventsBatch) -> list[str]:
    """What the estimators found, and the services that counted."""
    return [
        f"{event.kind} {event.data.get('count', event.data.get('id'))}"
        for event in batch.events
        if event.kind in {EventKind.SIGNAL_DOUBTED, EventKind.SERVICE_RESET}
    ]


def number_of(values: Mapping[str, float]) -> int:
    """The number of a sample: two signals, because none counts far enough."""
    return int(values[NUMBER]) + 60_000 * int(values["Vehicle.OBD.TimeSinceDTCCleared"])


def main() -> None:
    """Fork a life for each line."""
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        first, seed = map(int, line.split())
        child = os.fork()
        if child == 0:
            live(folder, first, seed)
        os.write(1, b"life %d\n" % child)
        os.waitpid(child, 0)
        os.write(1, b"over\n")


if __name__ == "__main__":
    main()
