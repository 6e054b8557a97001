"""A dongle: the real ``wearcast agent run`` over one recording after the other, so that its load never ends.

Each row is made from its number alone. The audit makes it again: nothing of a long run has to be kept for it.
"""

import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

import yaml

from edge_agent.errors import OutboxError
from edge_agent.ledger import read_ledger
from tests.faults.wire import HOST, Bundle
from wearcast.embedded.processes import ManagedProcess

START: Final = datetime(2026, 3, 1, 6, tzinfo=UTC)
PART_ROWS: Final = 12_000
ROWS_PER_SECOND: Final = 60  # of each dongle
BATCH_SAMPLES: Final = 24
# Quicker than on the road, where nothing is told that a broker is back within the second.
UPLINK: Final = {"window": 32, "ack_timeout": "1s", "reconnect_min": "100ms", "reconnect_max": "1s"}
COLUMNS: Final = (
    "Vehicle.Speed",
    "Vehicle.Powertrain.CombustionEngine.Speed",
    "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature",
    "Vehicle.LowVoltageBattery.CurrentVoltage",
)

Row = tuple[int, float, float, float, float]  # ms since 1970, km/h, 1/min, degrees Celsius, V


class Start(Protocol):
    """Starts a process of the site, with the password of the device."""

    def __call__(self, name: str, *command: str | Path, device: str) -> ManagedProcess:
        """Start ``python -m …``."""
        ...


def row_of(device: str, number: int) -> Row:
    """One row a second, each value in the steps in which a car gives it."""
    noise = zlib.crc32(f"{device} {number}".encode())
    return (
        round((START + timedelta(seconds=number)).timestamp() * 1000),
        float(10 + noise % 150),
        (3_200 + noise // 7 % 10_800) / 4,
        float(70 + noise // 11 % 35),
        (1_180 + noise // 13 % 270) / 100,
    )


class Dongle:
    """An agent with its folder, its wire to the broker and its outbox."""

    recorded = True

    def __init__(self, *, device: str, vehicle: UUID, folder: Path, wire: Bundle, start: Start) -> None:
        self.device = device
        self.vehicle = vehicle
        self.wire = wire
        self.down = False  # on purpose, by a fault that will start it again
        self._folder = folder
        self._start = start
        self._parts = 0
        self._uplink: Mapping[str, object] = UPLINK
        self._process: ManagedProcess | None = None
        folder.mkdir()

    @property
    def outbox(self) -> Path:
        """Its outbox's file."""
        return self._folder / "outbox.sqlite"

    @property
    def process(self) -> ManagedProcess:
        """The agent's latest."""
        assert self._process is not None
        return self._process

    def begin(self) -> None:
        """Write the next recording and replay it."""
        self._recording(PART_ROWS, ROWS_PER_SECOND)
        self.restart()

    def begin_backlog(self, rows: int, uplink: Mapping[str, object]) -> None:
        """Read a recording of so many rows at once; it ends when all of it is acknowledged."""
        self._uplink = uplink
        self._parts += 1
        self._write(0, rows)
        self._configure(None)
        self.restart()

    def time_ms(self, number: int) -> int:
        """When a row was recorded, in ms since 1970."""
        return row_of(self.device, number)[0]

    def restart(self) -> None:
        """Start the agent as systemd would: with the configuration it had."""
        self._process = self._start(self.device, "wearcast.cli", "agent", "run", self._config(), device=self.device)
        self.down = False

    def kill(self) -> None:
        """End it with SIGKILL; it stays down until started again."""
        self.down = True
        self.process.kill()

    def supervise(self) -> str | None:
        """Go on with the next recording where the last is acknowledged whole; what went wrong, if something did."""
        process = self.process
        status = process.returncode
        if status is None or self.down or process is not self.process:
            return None
        if status == 0:
            self.begin()
            return None
        complaint = f"{self.device} ended by itself with {status}: {process.output()[-800:]}"
        self.restart()
        return complaint

    def finish(self) -> None:
        """Stop reading, and let what is in the outbox be acknowledged: a last recording of one row ends by itself."""
        self.process.stop(20.0)
        accepted = read_ledger(self.outbox)["samples_accepted"]
        self._parts += 1
        self._write(accepted, 1)
        self._configure(None)
        self.restart()

    @property
    def finished(self) -> bool:
        """Whether the last recording is acknowledged whole."""
        return self.process.returncode == 0

    def counts(self) -> dict[str, int]:
        """What its outbox has counted."""
        return read_ledger(self.outbox)

    def committed(self) -> int:
        """How many batches the backend has said to have."""
        try:
            return read_ledger(self.outbox).get("batches_committed", 0)
        except OutboxError:
            return 0  # its first start has not come that far

    def _recording(self, rows: int, speed: float) -> None:
        self._parts += 1
        self._write((self._parts - 1) * PART_ROWS, rows)
        self._configure(speed)
        self._part(self._parts - 1).unlink(missing_ok=True)

    def _write(self, first: int, rows: int) -> None:
        with self._part(self._parts).open("w", encoding="ascii") as file:
            file.write(",".join(("time", *COLUMNS)) + "\n")
            for number in range(first, first + rows):
                ms, *values = row_of(self.device, number)
                moment = datetime.fromtimestamp(ms / 1000, UTC).isoformat()
                file.write(",".join((moment, *map(str, values))) + "\n")

    def _configure(self, speed: float | None) -> None:
        source: dict[str, object] = {"kind": "replay_csv", "path": self._part(self._parts).name}
        self._write_config(source if speed is None else {**source, "speed": speed})

    def _write_config(self, source: Mapping[str, object], **settings: object) -> None:
        document = {
            "device": self.device,
            "source": dict(source),
            "outbox": {"path": self.outbox.name},
            "mqtt": {"host": HOST, "port": self.wire.ports[0], "username": self.device},
            "uplink": dict(self._uplink),
            "batch_samples": BATCH_SAMPLES,
            **settings,
        }
        self._config().write_text(yaml.safe_dump(document), encoding="utf-8")

    def _config(self) -> Path:
        return self._folder / "agent.yaml"

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number}.csv"


class ClockedDongle(Dongle):
    """A dongle that dates what it reads itself, by a clock that can be moved: see ``clocked_agent.py``."""

    recorded = False

    def begin(self) -> None:
        """Begin to read; the source has no end."""
        self.set_clock(offset_ms=0, synchronised=True)
        self._write_config({"kind": "broadcast"}, batch="500ms")  # replaced by the one that counts
        self.restart()

    def restart(self) -> None:
        """Start the agent; its numbers go on far beyond those of the former start."""
        self._parts += 1
        self._process = self._start(
            self.device, "tests.faults.clocked_agent", self._config(), str(self._parts), device=self.device
        )
        self.down = False

    def set_clock(self, *, offset_ms: int, synchronised: bool) -> None:
        """Put the machine's clock so far from the right time, and say whether it believes to be synchronised."""
        fresh = self._folder / "clock.new"
        fresh.write_text(json.dumps({"offset_ms": offset_ms, "synchronised": synchronised}))
        fresh.rename(self._folder / "clock.json")

    def finish(self) -> None:
        """Stop reading; started again without a car it only sends."""
        self.process.stop(20.0)
        self._process = self._start(self.device, "tests.faults.clocked_agent", self._config(), "0", device=self.device)
