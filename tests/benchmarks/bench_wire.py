"""Bytes on the wire per value: recorded trips through the real agent, in the compact form against JSON.

``make bench-wire`` writes build/bench/wire.json. Counted are the payloads of readings as the agent publishes them,
estimates included; MQTT's own bytes (some 50 per batch) are not.
"""

import json
import threading
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edge_agent.agent import Agent
from edge_agent.build import build_estimators, build_profile
from edge_agent.clock import SystemClock
from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.notify import Notifier
from edge_agent.outbox import Outbox
from edge_agent.sources.replay_csv import ReplayCsvConfig, ReplayCsvSource
from edge_agent.testing import LoopbackUplink
from telemetry.records import Acknowledgement, BatchKey, ReadingsBatch
from telemetry.topics import Channel, DeviceTopic
from telemetry.wire import decode_message, encode_readings

ROOT: Final = Path(__file__).parents[2]
TRIPS: Final = ROOT.parent / "shared" / "data" / "obd_trips"
RESULT: Final = ROOT / "build" / "bench" / "wire.json"
DEVICE: Final = "bench-1"
GOAL_BYTES_PER_VALUE: Final = 0.6
START: Final = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)


@dataclass(kw_only=True)
class Totals:
    """What went over the wire."""

    batches: int = 0
    samples: int = 0
    values: int = 0
    compact: int = 0  # bytes
    plain: int = 0  # bytes, JSON
    plain_deflated: int = 0  # bytes

    def add(self, payload: bytes) -> None:
        """Count one batch of readings, in the form it was sent and in the others."""
        batch = decode_message(DeviceTopic(device=DEVICE, channel="readings"), payload)
        assert isinstance(batch, ReadingsBatch)
        text = encode_readings(batch, "json")
        self.batches += 1
        self.samples += len(batch.samples)
        self.values += sum(len(sample.values) for sample in batch.samples)
        self.compact += len(payload)
        self.plain += len(text)
        self.plain_deflated += len(zlib.compress(text, level=9))


def drive(trip: Path, totals: Totals) -> None:
    """One trip through an agent of its own: source, recorder, estimators, outbox; a loop in the broker's place."""

    def backend(key: BatchKey, channel: Channel, payload: bytes) -> Acknowledgement:
        if channel == "readings":
            totals.add(payload)
        return Acknowledgement(device=key.device, boot=key.boot, committed=((key.sequence, key.sequence),))

    config = AgentConfig(
        device=DEVICE,
        source=SourceConfig(kind="replay_csv", options={"path": str(trip)}),
        outbox_path=trip,  # not used: the outbox is in memory
        estimate_seconds=60.0,  # as of a live car
    )
    with Outbox.open(":memory:", device=DEVICE, max_bytes=config.outbox_max_bytes) as outbox:
        Agent(
            config=config,
            source=ReplayCsvSource(ReplayCsvConfig(path=trip, start=START)),
            estimators=build_estimators(config, build_profile(config)),
            outbox=outbox,
            uplink=LoopbackUplink(device=DEVICE, outbox=outbox, backend=backend),
            clock=SystemClock(),
            notifier=Notifier({}),
        ).run(threading.Event())


def rows(totals: Totals) -> list[dict[str, object]]:
    """The result as a table; ``ratio``: how many times smaller than ``against``."""
    compact = totals.compact / totals.values

    def row(
        name: str, value: float, unit: str, goal: float | None = None, against: str | None = None
    ) -> dict[str, object]:
        return {
            "name": name,
            "value": round(value, 3),
            "unit": unit,
            "goal": goal,
            "met": None if goal is None else value <= goal,
            "ratio": None if against is None else round(totals.plain / totals.values / value, 1),
            "against": against,
        }

    return [
        row("compact form", compact, "bytes per value", GOAL_BYTES_PER_VALUE, "JSON"),
        row("JSON, deflated", totals.plain_deflated / totals.values, "bytes per value", None, "JSON"),
        row("JSON", totals.plain / totals.values, "bytes per value"),
        row("compact form, a sample of 27 values", totals.compact / totals.samples, "bytes per sample"),
        row("compact form, a batch of 60 samples", totals.compact / totals.batches, "bytes per batch"),
    ]


def main() -> None:
    """Replay all trips and write the table."""
    trips = sorted(TRIPS.glob("*.csv.gz"))
    if not trips:
        raise SystemExit(f"{TRIPS} holds no trips: this benchmark needs the recordings")
    totals, begun = Totals(), time.monotonic()
    for trip in trips:
        drive(trip, totals)
    table = rows(totals)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    print(f"{len(trips)} trips, {totals.samples} samples, {totals.values} values in {time.monotonic() - begun:.0f} s")  # noqa: T201 - this is its output
    for entry in table:
        print(f"{entry['value']:>10} {entry['unit']:<18} {entry['name']}")  # noqa: T201 - this is its output


if __name__ == "__main__":
    main()
