"""``wearcast agent live|record|replay``: watch a car, keep what it says, and look at it again."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wearcast.car_tables import live_table
from wearcast.commands.adapter import NOBODY, AdapterOption, Chosen, ConfigOption, choose
from wearcast.commands.agent import DIAGNOSE, WITHOUT_A_CAR, app
from wearcast.commands.common import stop_on_signal
from wearcast.output import print_rows

if TYPE_CHECKING:
    from edge_agent.config import AgentConfig
    from edge_agent.sources.base import Reading, Source
    from edge_agent.tester.base import Tester
    from firmware_profiles.profile import VehicleProfile

ProfileOption = Annotated[
    str | None,
    typer.Option(help="Vehicle profile that says what is read; its name or a file. Without: of --config, or generic."),
]
SecondsOption = Annotated[float | None, typer.Option(help="End after so long; without it, at Ctrl-C.", min=0.1)]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")]
_DRAWN_EVERY_S = 0.25
_FAULT_SHOWN_S = 15.0  # after that it was a passing one
_TAPE = ".jsonl"


@app.command(rich_help_panel=DIAGNOSE)
def live(
    adapter: AdapterOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    signal: Annotated[list[str] | None, typer.Option(help="Only paths with this in them; repeat for several.")] = None,
    seconds: SecondsOption = None,
    as_json: JsonLinesOption = False,
) -> None:
    """Watch a car: a table that updates, with each value's course.

    Example: wearcast agent live --signal Speed --signal Temperature
    """
    chosen = choose(adapter, config)
    source = _car(lambda bits, addresses: chosen.connect(addresses, bits), _profile(profile, chosen.config))
    _watch(source, signal or [], seconds, as_json=as_json)


@app.command(rich_help_panel=DIAGNOSE)
def record(
    out: Annotated[Path, typer.Argument(help="File to write; it must not exist.", show_default=False)],
    adapter: AdapterOption = None,
    config: ConfigOption = None,
    profile: ProfileOption = None,
    seconds: SecondsOption = None,
) -> None:
    """Record a car. A name ending in .jsonl: every question and answer while it is read, the VIN among them.

    Ending in .log (candump), .asc, .blf or .trc: every frame on the bus, and nothing is asked; a CAN adapter only.
    To hand on what a car answers without its VIN, use `wearcast agent capture`.

    Example: wearcast agent record car.jsonl --seconds 60
    """
    from edge_agent.diagnose.frames import FORMATS
    from edge_agent.diagnose.tape import RecordingTester, read_tape
    from edge_agent.errors import ConfigurationError

    if out.suffix not in FORMATS | {_TAPE}:
        raise ConfigurationError(f"{out}: the name says what is recorded; end it in {_TAPE}, or in .log for raw frames")
    if out.exists():
        raise ConfigurationError(f"{out} exists; give another name, or remove it first")
    chosen = choose(adapter, config)
    if out.suffix in FORMATS:
        with _writing(out):
            _record_frames(chosen, out, seconds)
        return
    with _writing(out), out.open("xb") as file:
        source = _car(
            lambda bits, addresses: RecordingTester(chosen.connect(addresses, bits), file),
            _profile(profile, chosen.config),
        )
        _watch(source, [], seconds, as_json=False)
    print(f"{len(read_tape(out))} exchanges in {out}")


@app.command(rich_help_panel=WITHOUT_A_CAR)
def replay(
    recording: Annotated[Path, typer.Argument(help="A recording of `wearcast agent record`.", show_default=False)],
    profile: ProfileOption = None,
    dbc: Annotated[Path | None, typer.Option(help="Of frames: the DBC that says what is in them.")] = None,
    seconds: SecondsOption = 5.0,
    as_json: JsonLinesOption = False,
) -> None:
    """Read a recorded car as if it were there: what another profile would make of it, or why a value is missing.

    A recording of frames is summed up: each identifier with its rate, its last data and the bytes that move; with
    --dbc the signals in them.

    Example: wearcast agent replay car.jsonl --profile hyundai_kona_electric
    """
    from edge_agent.diagnose.frames import FORMATS
    from edge_agent.diagnose.tape import TapeTester, read_tape

    if FORMATS & set(recording.suffixes):
        _show_frames(recording, dbc, as_json=as_json)
        return

    entries = read_tape(recording)
    _watch(_car(lambda _bits, _addresses: TapeTester(entries), _profile(profile)), [], seconds, as_json=as_json)


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


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Around what makes a file: a folder or disk that refuses is told, and no empty file stays behind a failure."""
    from edge_agent.errors import ConfigurationError

    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{out}: cannot be written ({error.strerror}); give another place") from error
    finally:
        with suppress(OSError):
            if out.stat().st_size == 0:
                out.unlink()


def _profile(named: str | None, config: "AgentConfig | None" = None) -> "VehicleProfile":
    """The profile named, or that of the configuration, or the one that reads any car."""
    from edge_agent.build import build_profile
    from firmware_profiles.loader import load_vehicle_profile

    if named is not None:
        file = Path(named)
        return load_vehicle_profile(file if file.is_file() else named)
    of_config = None if config is None else build_profile(config)
    return of_config or load_vehicle_profile("generic")


def _car(open_tester: Callable[[int, Any], "Tester"], profile: "VehicleProfile") -> "Source":
    from edge_agent.build_can import identifier_bits_of
    from edge_agent.build_obd import obd_config
    from edge_agent.sources.obd import ObdSource

    plan = obd_config(profile)
    return ObdSource(plan, lambda: open_tester(identifier_bits_of(profile), plan.addresses))


def _watch(source: "Source", wanted: Sequence[str], seconds: float | None, *, as_json: bool) -> None:
    """Poll and show until the time is over, counted from the adapter's being open, or a signal comes."""
    shown = _Shown(wanted, as_json=as_json)
    source.open()
    try:
        started = time.monotonic()
        with stop_on_signal() as stop, shown.screen():
            while not stop.is_set() and (seconds is None or time.monotonic() - started < seconds):
                reading = source.poll()
                if reading is None:
                    break
                shown.add(reading, time.monotonic() - started)
    finally:
        source.close()
    shown.end(time.monotonic() - started)


class _Shown:
    """What was read so far, and how it is shown: a table that updates on a terminal, at the end of it elsewhere."""

    def __init__(self, wanted: Sequence[str], *, as_json: bool) -> None:
        from edge_agent.diagnose.trace import Trace

        self._wanted = [word.lower() for word in wanted]
        self._json = as_json
        self._trace = Trace()
        self._paths: set[str] = set()
        self._faults: dict[str, tuple[str, float]] = {}  # reason, and when
        self._live: Any = None
        self._drawn_s = float("-inf")

    def screen(self) -> AbstractContextManager[object]:
        """Around the reading."""
        if self._json or not sys.stdout.isatty():
            return nullcontext()
        from rich.live import Live

        self._live = Live(auto_refresh=False)
        return self._live  # type: ignore[no-any-return]  # rich's own context manager

    def add(self, reading: "Reading", now_s: float) -> None:
        """Take one reading."""
        self._paths |= reading.values.keys()
        values = {path: value for path, value in reading.values.items() if self._is_wanted(path)}
        self._trace.add(values, now_s)
        self._faults |= {fault.request: (fault.reason, now_s) for fault in reading.faults}
        if self._json and values:
            print(json.dumps({"s": round(now_s, 3), "values": values}), flush=True)
        elif self._live is not None and now_s - self._drawn_s >= _DRAWN_EVERY_S:
            self._drawn_s = now_s
            self._live.update(self._table(now_s), refresh=True)

    def end(self, now_s: float) -> None:
        """The table, where it was not seen yet; exit status 1 with the reason where there was nothing."""
        rows = self._trace.rows(now_s)
        if rows:
            if not self._json and self._live is None:
                from rich.console import Console

                Console(width=160, highlight=False).print(self._table(now_s))
            return
        for request, (reason, _) in sorted(self._faults.items()):
            print(f"Not read: {request}: {reason}", file=sys.stderr)
        if self._paths:
            names = ", ".join(sorted(self._paths))
            print(f"No signal has {' or '.join(self._wanted)} in its path. Read were: {names}", file=sys.stderr)
        else:
            print(f"No value was read. {NOBODY}", file=sys.stderr)
        raise typer.Exit(1)

    def _table(self, now_s: float) -> Any:
        faults = {request: reason for request, (reason, at) in self._faults.items() if now_s - at < _FAULT_SHOWN_S}
        return live_table(self._trace.rows(now_s), faults)

    def _is_wanted(self, path: str) -> bool:
        return not self._wanted or any(word in path.lower() for word in self._wanted)
