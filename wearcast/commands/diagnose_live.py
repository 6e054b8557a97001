"""``wearcast agent live|record|replay``: watch a car, keep what it says, and look at it again."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wearcast.commands.adapter import AdapterOption, ConfigOption, choose
from wearcast.commands.agent import app
from wearcast.commands.common import stop_on_signal

if TYPE_CHECKING:
    from edge_agent.diagnose.trace import TraceRow
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
    """Record every question and answer while a car is read, one JSON object a line. The VIN is in it.

    To hand on what a car answers without its VIN, use `wearcast agent capture`.
    """
    from edge_agent.diagnose.tape import RecordingTester, read_tape
    from edge_agent.errors import ConfigurationError

    connect = choose(adapter, config).connect
    if out.exists():
        raise ConfigurationError(f"{out} exists; give another name, or remove it first")
    with out.open("xb") as file:
        source = _car(lambda bits, addresses: RecordingTester(connect(addresses, bits), file), profile)
        _watch(source, [], seconds, as_json=False)
    print(f"{len(read_tape(out))} exchanges in {out}")


@app.command()
def replay(
    recording: Annotated[Path, typer.Argument(help="A recording of `wearcast agent record`.", show_default=False)],
    profile: ProfileOption = "generic",
    seconds: SecondsOption = 5.0,
    as_json: JsonLinesOption = False,
) -> None:
    """Read a recorded car as if it were there: what another profile would make of it, or why a value is missing."""
    from edge_agent.diagnose.tape import TapeTester, read_tape

    entries = read_tape(recording)
    _watch(_car(lambda _bits, _addresses: TapeTester(entries), profile), [], seconds, as_json=as_json)


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
                    screen.update(table(trace.rows(now), faults), refresh=True)
    finally:
        source.close()
    if not as_json and screen is None:
        from rich.console import Console

        Console(width=160, highlight=False).print(table(trace.rows(time.monotonic()), faults))


def table(rows: "Iterable[TraceRow]", faults: dict[str, str]) -> Any:
    """The table of what is known, and below it what could not be read."""
    from rich.table import Table

    from telemetry.catalogue import catalogue

    caption = "\n".join(f"not read: {request}: {reason}" for request, reason in sorted(faults.items())[:8])
    shown = Table(box=None, header_style="bold", pad_edge=False, caption=caption or None, caption_justify="left")
    for column, side in (
        ("signal", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("course", "left"),
        ("low", "right"),
    ):
        shown.add_column(column, justify="right" if side == "right" else "left", no_wrap=True)
    shown.add_column("high", justify="right")
    shown.add_column("age", justify="right")
    for row in rows:
        shown.add_row(
            row.path.removeprefix("Vehicle."),
            f"{row.value:g}",
            catalogue().by_path(row.path).unit.sign,
            row.course,
            f"{row.low:g}",
            f"{row.high:g}",
            f"{row.age_s:.0f} s",
        )
    return shown


def _is_wanted(path: str, wanted: Iterable[str]) -> bool:
    words = [word.lower() for word in wanted]
    return not words or any(word in path.lower() for word in words)
