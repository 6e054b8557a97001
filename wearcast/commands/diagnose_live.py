"""``wearcast agent live|record|replay``: watch a car, keep what it says, and look at it again."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wearcast.car_tables import live_table
from wearcast.commands.adapter import AdapterOption, Chosen, ConfigOption, choose
from wearcast.commands.agent import app
from wearcast.commands.common import stop_on_signal
from wearcast.output import print_rows

if TYPE_CHECKING:
    from edge_agent.sources.base import Source
    from edge_agent.tester.base import Tester

ProfileOption = Annotated[str, typer.Option(help="Vehicle profile that says what is read; its name or a file.")]
SecondsOption = Annotated[float | None, typer.Option(help="End after so long; without it, at Ctrl-C.", min=0.1)]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")]
_SHOWN_EVERY_S = 0.25


@app.command()
def live(
    adapter: AdapterOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = "generic",
    signal: Annotated[list[str] | None, typer.Option(help="Only paths with this in them; repeat for several.")] = None,
    seconds: SecondsOption = None,
    as_json: JsonLinesOption = False,
) -> None:
    """Watch a car: a table that updates, with each value's course.

    Example: wearcast agent live --signal Speed --signal Temperature
    """
    connect = choose(adapter, config).connect
    _watch(_car(lambda bits, addresses: connect(addresses, bits), profile), signal or [], seconds, as_json=as_json)


@app.command()
def record(
    out: Annotated[Path, typer.Argument(help="File to write; it must not exist.", show_default=False)],
    adapter: AdapterOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = "generic",
    seconds: SecondsOption = None,
) -> None:
    """Record a car. A name ending in .jsonl: every question and answer while it is read, the VIN among them.

    Ending in .log (candump), .asc, .blf or .trc: every frame on the bus, and nothing is asked; a CAN adapter only.
    To hand on what a car answers without its VIN, use `wearcast agent capture`.
    """
    from edge_agent.diagnose.frames import FORMATS
    from edge_agent.diagnose.tape import RecordingTester, read_tape
    from edge_agent.errors import ConfigurationError

    chosen = choose(adapter, config)
    connect = chosen.connect
    if out.exists():
        raise ConfigurationError(f"{out} exists; give another name, or remove it first")
    if out.suffix in FORMATS:
        _record_frames(chosen, out, seconds)
        return
    with out.open("xb") as file:
        source = _car(lambda bits, addresses: RecordingTester(connect(addresses, bits), file), profile)
        _watch(source, [], seconds, as_json=False)
    print(f"{len(read_tape(out))} exchanges in {out}")


@app.command()
def replay(
    recording: Annotated[Path, typer.Argument(help="A recording of `wearcast agent record`.", show_default=False)],
    profile: ProfileOption = "generic",
    dbc: Annotated[Path | None, typer.Option(help="Of frames: the DBC that says what is in them.")] = None,
    seconds: SecondsOption = 5.0,
    as_json: JsonLinesOption = False,
) -> None:
    """Read a recorded car as if it were there: what another profile would make of it, or why a value is missing.

    A recording of frames is summed up: each identifier with its rate, its last data and the bytes that move; with
    --dbc the signals in them.
    """
    from edge_agent.diagnose.frames import FORMATS
    from edge_agent.diagnose.tape import TapeTester, read_tape

    if FORMATS & set(recording.suffixes):
        _show_frames(recording, dbc, as_json=as_json)
        return

    entries = read_tape(recording)
    _watch(_car(lambda _bits, _addresses: TapeTester(entries), profile), [], seconds, as_json=as_json)


def _record_frames(chosen: Chosen, out: Path, seconds: float | None) -> None:
    from edge_agent.diagnose.frames import record_frames
    from edge_agent.errors import ConfigurationError

    if chosen.bus is None:
        raise ConfigurationError(f"{chosen.name} shows no raw frames; name a CAN adapter, or record to a .jsonl file")
    until = None if seconds is None else time.monotonic() + seconds
    with stop_on_signal() as stop:
        count, took = record_frames(
            chosen.bus, out, go_on=lambda: not stop.is_set() and (until is None or time.monotonic() < until)
        )
    print(f"{count} frames in {out}, {count / max(took, 0.001):.0f} a second")


def _show_frames(recording: Path, dbc: Path | None, *, as_json: bool) -> None:
    from edge_agent.diagnose.frames import FrameTable, decoded, read_frames
    from edge_agent.diagnose.trace import Trace

    if dbc is not None:
        trace, last = Trace(), 0.0
        for last, values in decoded(read_frames(recording), dbc):
            trace.add(values, last)
        print_rows(
            [
                {"signal": row.path, "value": row.value, "low": row.low, "high": row.high, "course": row.course}
                for row in trace.rows(last)
            ],
            as_json=as_json,
            empty="none of the frames is in this DBC",
        )
        return
    frames = FrameTable()
    for frame in read_frames(recording):
        frames.add(frame)
    print_rows(
        [
            {
                "identifier": row.name,
                "frames": row.count,
                "period_ms": None if row.period_s is None else round(row.period_s * 1000, 1),
                "data": row.data.hex(" ").upper(),
                "moving_bytes": " ".join(map(str, sorted(row.moving))),
            }
            for row in frames.rows()
        ],
        as_json=as_json,
        empty="no frames",
    )


def _car(open_tester: Callable[[int, Any], "Tester"], profile: str) -> "Source":
    from edge_agent.build_obd import obd_config
    from edge_agent.sources.obd import ObdSource
    from firmware_profiles.loader import load_vehicle_profile

    file = Path(profile)
    loaded = load_vehicle_profile(file if file.is_file() else profile)
    plan = obd_config(loaded)
    return ObdSource(plan, lambda: open_tester(loaded.can.identifier_bits, plan.addresses))


def _watch(source: "Source", wanted: Iterable[str], seconds: float | None, *, as_json: bool) -> None:
    """Poll and show until the time is over or a signal comes."""
    from edge_agent.diagnose.trace import Trace

    trace, faults = Trace(), dict[str, str]()
    screen: Any = None
    if not as_json and sys.stdout.isatty():
        from rich.live import Live

        screen = Live(auto_refresh=False)
    started = shown = time.monotonic()
    source.open()
    try:
        with stop_on_signal() as stop, screen or nullcontext():
            while not stop.is_set() and (seconds is None or time.monotonic() - started < seconds):
                reading = source.poll()
                if reading is None:
                    break
                values = {path: value for path, value in reading.values.items() if _is_wanted(path, wanted)}
                now = time.monotonic()
                trace.add(values, now)
                faults.update({fault.request: fault.reason for fault in reading.faults})
                if as_json and values:
                    print(json.dumps({"s": round(now - started, 3), "values": values}), flush=True)
                elif screen is not None and now - shown >= _SHOWN_EVERY_S:
                    shown = now
                    screen.update(live_table(trace.rows(now), faults), refresh=True)
    finally:
        source.close()
    if not as_json and screen is None:
        from rich.console import Console

        Console(width=160, highlight=False).print(live_table(trace.rows(time.monotonic()), faults))


def _is_wanted(path: str, wanted: Iterable[str]) -> bool:
    words = [word.lower() for word in wanted]
    return not words or any(word in path.lower() for word in words)
