"""Worker, broker, database and agents killed at random under load: what was accepted is stored, once, as it was.

``CHAOS_KILLS`` and ``CHAOS_SEED`` give the number of kills and repeat a run's choices; ``make soak`` runs it longer.
"""

import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from edge_agent.ledger import read_ledger
from ingest import reading_store
from ingest.database import Connection
from tests.acceptance.acceptance_support import START_SECONDS, Site, count, wait_until
from wearcast.embedded.processes import ManagedProcess
from wearcast.embedded.timescaledb import Database

KILLS = int(os.environ.get("CHAOS_KILLS", "24"))
SEED = int(os.environ.get("CHAOS_SEED", str(random.randrange(2**32))))
DEVICES = ("wc-chaos-1", "wc-chaos-2", "wc-chaos-3", "wc-chaos-4")
START = datetime(2026, 3, 1, 6, tzinfo=UTC)
PART_ROWS = 1_500
ROWS_PER_SECOND = 300  # of each agent: some seconds per part, so that the load never ends before the killing
EARLY_SHARE = 0.25  # of the kills that come before the process was ready
MOST_SECONDS_UP, MOST_SECONDS_DOWN = 1.0, 0.8

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.database,
    pytest.mark.broker,
    pytest.mark.timeout(180 + 10 * KILLS),
]

Row = tuple[int, float, float, float, float]  # ms since 1970, km/h, 1/min, degrees Celsius, V
COLUMNS = (
    "Vehicle.Speed",
    "Vehicle.Powertrain.CombustionEngine.Speed",
    "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature",
    "Vehicle.LowVoltageBattery.CurrentVoltage",
)


@dataclass
class Dongle:
    """An agent that replays one recording after the other; the next one when the last is acknowledged whole."""

    site: Site
    device: str
    rng: random.Random
    vehicle: UUID
    rows: list[Row] = field(default_factory=list)
    parts: int = 0
    config: Path | None = None
    process: ManagedProcess | None = None

    def begin_part(self) -> None:
        """Write a recording of driving and begin to replay it."""
        self.parts += 1
        first = (self.parts - 1) * PART_ROWS
        rows = [self._row(number) for number in range(first, first + PART_ROWS)]
        self.rows += rows
        path = self.site.folder / self.device / f"part-{self.parts}.csv"
        path.parent.mkdir(exist_ok=True)
        lines = (f"{datetime.fromtimestamp(ms / 1000, UTC).isoformat()},{s},{e},{c},{v}\n" for ms, s, e, c, v in rows)
        path.write_text(",".join(("time", *COLUMNS)) + "\n" + "".join(lines), encoding="ascii")
        source = {"kind": "replay_csv", "path": path.name, "speed": ROWS_PER_SECOND}
        self.config = self.site.write_agent(self.device, source, name=f"part-{self.parts}", batch_samples=40)
        self.restart()

    def restart(self) -> None:
        """Start the agent as systemd would: with the configuration it had."""
        assert self.config is not None
        self.process = self.site.start(self.device, "agent", "run", self.config, device=self.device)

    def has_finished(self) -> bool:
        """Whether the part at hand is sent and acknowledged; an agent that failed fails the test."""
        assert self.process is not None
        status = self.process.returncode
        assert status in {None, 0, -9}, f"{self.device} ended with {status}: {self.process.output()[-2000:]}"
        return status == 0

    def _row(self, number: int) -> Row:
        # one row a second, each value in the steps in which a car gives it
        ms = round((START + timedelta(seconds=number)).timestamp() * 1000)
        return (
            ms,
            float(self.rng.randrange(10, 160)),
            self.rng.randrange(3_200, 14_000) / 4,
            float(self.rng.randrange(70, 105)),
            self.rng.randrange(1_180, 1_450) / 100,
        )


@dataclass
class Victim:
    """Something that can be killed: how, how it comes back, and whether it is at work."""

    name: str
    kind: str
    kill: Callable[[], None]
    restart: Callable[[], None]
    is_up: Callable[[], bool]
    is_ready: Callable[[], bool]


class Chaos:
    """Kills and restarts until it has killed enough; keeps the dongles supplied with work meanwhile."""

    def __init__(self, site: Site, server: Database, rng: random.Random, dongles: list[Dongle]) -> None:
        self.site = site
        self.rng = rng
        self.dongles = dongles
        self.killed: Counter[str] = Counter()
        self.ingest = site.start_ingest()
        self._down: set[str] = set()  # of broker and database
        self._back_at: dict[str, float] = {}  # monotonic seconds
        self._kinds: list[str] = []
        self._victims = [
            Victim(
                name="ingest",
                kind="ingest",
                kill=self._kill_ingest,
                restart=self._start_ingest,
                is_up=lambda: self.ingest.alive,
                is_ready=lambda: "ingest worker ready" in self.ingest.output(),
            ),
            self._service("broker", site.broker.kill, site.broker.restart),
            self._service("database", server.kill, server.restart),
            *(self._agent(dongle) for dongle in dongles),
        ]

    def run(self, kills: int) -> None:
        """Kill so many times; at the end everything runs again."""
        while self.killed.total() < kills:
            victim = self._choose()
            if self.rng.random() >= EARLY_SHARE:
                self._work_until(victim.is_ready, f"{victim.name} is ready")
            self._work_for(self.rng.uniform(0, MOST_SECONDS_UP))
            self._work_until(victim.is_up, f"{victim.name} is up")
            victim.kill()
            self.killed[victim.name] += 1
            self._back_at[victim.name] = time.monotonic() + self.rng.uniform(0, MOST_SECONDS_DOWN)
        self._work_until(lambda: not self._back_at, "everything runs again")

    def _choose(self) -> Victim:
        if not self._kinds:
            self._kinds = ["ingest", "ingest", "broker", "broker", "agent", "agent", "agent", "database"]
            self.rng.shuffle(self._kinds)
        kind = self._kinds.pop()
        return self.rng.choice([victim for victim in self._victims if victim.kind == kind])

    def _work_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._work_until(lambda: time.monotonic() >= until, "time passes")

    def _work_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._work()
            if condition():
                return
            assert time.monotonic() < deadline, f"did not happen: {what}; seed {SEED}"
            time.sleep(0.02)

    def _work(self) -> None:
        now = time.monotonic()
        for victim in self._victims:
            if self._back_at.get(victim.name, now + 1) <= now:
                del self._back_at[victim.name]
                victim.restart()
        for dongle in self.dongles:
            if dongle.has_finished():
                dongle.begin_part()

    def _service(self, name: str, kill: Callable[[], None], restart: Callable[[], None]) -> Victim:
        """One that runs once its restart returns."""

        def end() -> None:
            kill()
            self._down.add(name)

        def begin() -> None:
            restart()
            self._down.discard(name)

        def is_up() -> bool:
            return name not in self._down

        return Victim(name=name, kind=name, kill=end, restart=begin, is_up=is_up, is_ready=is_up)

    def _agent(self, dongle: Dongle) -> Victim:
        def process() -> ManagedProcess:
            assert dongle.process is not None
            return dongle.process

        return Victim(
            name=dongle.device,
            kind="agent",
            kill=lambda: process().kill(),
            restart=dongle.restart,
            is_up=lambda: process().alive,
            is_ready=lambda: "connected to" in process().output(),
        )

    def _kill_ingest(self) -> None:
        self.ingest.kill()

    def _start_ingest(self) -> None:
        self.ingest = self.site.start("ingest", "ingest", "run")


def test_what_was_accepted_is_stored_once_whatever_is_killed(site_of: Callable[..., Site], server: Database) -> None:
    tell(f"CHAOS_SEED={SEED} CHAOS_KILLS={KILLS}")
    rng = random.Random(SEED)
    site = site_of(*DEVICES)
    dongles = [
        Dongle(site=site, device=device, rng=random.Random(f"{SEED} {device}"), vehicle=site.register(device))
        for device in DEVICES
    ]
    chaos = Chaos(site, server, rng, dongles)
    for dongle in dongles:
        dongle.begin_part()
    chaos.run(KILLS)
    with site.connect() as connection:
        during = reading_store.counts(connection)
        wait_until(lambda: all(dongle.has_finished() for dongle in dongles), f"all is acknowledged; seed {SEED}", 120)
        stored = reading_store.counts(connection)
        resent = sum(boot.resent for boot in stored.boots)
        tell(
            f"killed {dict(chaos.killed)}; {during.samples} samples stored meanwhile, {stored.samples} at the end in "
            f"{stored.batches} batches of {len(stored.boots)} boots, {resent} batches came again"
        )
        assert chaos.killed.total() == KILLS
        assert all(dongle.parts > 0 for dongle in dongles)
        assert 0 < during.samples < stored.samples, "the load went on until the last kill"

        ledgers = {dongle.device: read_ledger(site.outbox(dongle.device)) for dongle in dongles}
        assert {device: ledger["samples_accepted"] for device, ledger in ledgers.items()} == {
            dongle.device: len(dongle.rows) for dongle in dongles
        }
        assert all(ledger["batches_waiting"] == ledger["samples_waiting"] == 0 for ledger in ledgers.values())
        assert stored.samples == sum(len(dongle.rows) for dongle in dongles)
        assert [boot for boot in stored.boots if (boot.first_sequence, boot.batches) != (1, boot.last_sequence)] == []
        sent = sum(ledger["batches_sealed"] - ledger.get("batches_joined", 0) for ledger in ledgers.values())
        assert stored.batches == sent
        assert stored.events == sum(ledger["events_sealed"] for ledger in ledgers.values())
        assert reading_store.rejected(connection) == []
        twice = "SELECT count(*) FROM (SELECT FROM reading GROUP BY vehicle_id, time HAVING count(*) > 1) AS twice"
        assert count(connection, twice) == 0
        for dongle in dongles:
            assert checksum(stored_rows(connection, dongle.vehicle)) == checksum(dongle.rows), dongle.device


def tell(text: str) -> None:
    """For whoever looks at a failed run, or at a long one while it goes on."""
    print(text, flush=True)  # noqa: T201 - pytest shows it with a failure


def stored_rows(connection: Connection, vehicle: UUID) -> Iterable[Row]:
    rows = connection.execute(
        "SELECT (extract(epoch FROM time) * 1000)::bigint, speed, engine_speed, coolant_temperature,"
        " low_voltage_battery_voltage FROM reading WHERE vehicle_id = %s ORDER BY time",
        [vehicle],
    )
    return rows.fetchall()


def checksum(rows: Iterable[Row]) -> str:
    """Of all values in order of time; the voltage in its steps of 10 mV, as a 32-bit column cannot hold 12.34."""
    state = hashlib.sha256()
    for ms, speed, engine, coolant, voltage in rows:
        state.update(f"{ms} {speed:.0f} {engine:.2f} {coolant:.0f} {voltage:.2f}\n".encode())
    return state.hexdigest()
