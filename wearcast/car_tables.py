"""How a car is shown on a terminal, whether it stands at this adapter or was asked from afar."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from telemetry.catalogue import catalogue

if TYPE_CHECKING:
    from edge_agent.diagnose.trace import TraceRow

_FAULTS_SHOWN: Final = 8
_SHORTEST_COURSE: Final = 4
_IN_FULL: Final = 100_000  # from here on :g would round, or write an exponent


class Language(StrEnum):
    """The languages in which trouble codes are explained."""

    EN = "en"
    ZH = "zh"


def code_row(
    code: Mapping[str, object],
    language: Language,
    *,
    frame: Mapping[str, float] | None = None,
    failed_this_cycle: bool | None = None,
) -> dict[str, object]:
    """One trouble code (its code, ecu, status and warning_lamp) with what it means, how much it hurries, what to do.

    ``frame``: its freeze frame, VSS path -> value; ``failed_this_cycle``: bit 1 of its UDS status. How often it came up
    before is not known here.
    """
    from health.trouble_code_urgency import STATUSES, CodeEvidence, urgency
    from health.urgency_words import advice_text, level_text, why_text
    from telemetry.trouble_codes import describe

    words: Literal["en", "zh"] = "zh" if language is Language.ZH else "en"
    name, lamp = str(code.get("code")), code.get("warning_lamp")
    meaning = describe(name, words)
    judged = urgency(
        CodeEvidence(
            code=name,
            status=STATUSES.get(str(code.get("status")), "confirmed"),
            lamp="on" if lamp is True else "off" if lamp is False else None,
            frame=frame or {},
            failed_this_cycle=failed_this_cycle,
        )
    )
    return {
        "code": code.get("code"),
        "ecu": code.get("ecu"),
        "status": code.get("status"),
        "lamp": code.get("warning_lamp"),
        "urgency": level_text(judged.level, words),
        "severity": judged.severity,
        "why": why_text(judged, words),
        "job": meaning.job,
        "meaning": meaning.meaning,
        "what_to_do": advice_text(name, judged, words),
    }


def live_table(rows: "Sequence[TraceRow]", faults: Mapping[str, str] | None = None) -> RenderableType:
    """Signals with their course, and below them what could not be read. Fits a terminal of 80 columns."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("signal", no_wrap=True, overflow="ellipsis")
    for column in ("value", "unit"):
        table.add_column(column, justify="right" if column == "value" else "left", no_wrap=True)
    table.add_column("course")
    for column in ("low", "high", "age"):
        table.add_column(column, justify="right", no_wrap=True)
    names = short_names(row.path for row in rows)
    for row in rows:
        table.add_row(
            names[row.path],
            number(row.value),
            unit_of(row.path),
            _Course(row.course),
            number(row.low),
            number(row.high),
            f"{row.age_s:.0f} s",
        )
    not_read = [f"not read: {request}: {reason}" for request, reason in sorted((faults or {}).items())]
    more = [f"not read: {len(not_read) - _FAULTS_SHOWN} more"] if len(not_read) > _FAULTS_SHOWN else []
    return Group(table, *(Text(line) for line in (*not_read[:_FAULTS_SHOWN], *more)))


class _Course:
    """A sparkline that gives way where there is little room: its latest values stay."""

    def __init__(self, bars: str) -> None:
        self._bars = bars

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        length = len(self._bars)
        return Measurement(min(length, _SHORTEST_COURSE), min(length, options.max_width))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self._bars[-options.max_width :], no_wrap=True)


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Each path by its last parts: as few as tell it from the others, and at least two ("EngineOil.Temperature")."""
    parts = {path: path.split(".") for path in paths}
    names: dict[str, str] = {}
    for path, own in parts.items():
        others = [other for other in parts.values() if other is not own]
        length = next(n for n in range(1, len(own) + 1) if n == len(own) or all(o[-n:] != own[-n:] for o in others))
        names[path] = ".".join(own[-max(length, 2) :])
    return names


def number(value: float) -> str:
    """A value as a person reads it: six digits, and large ones in full."""
    return f"{value:.0f}" if abs(value) >= _IN_FULL else f"{value:g}"


def unit_of(path: str) -> str:
    """Sign of the unit of a signal; empty for one that this version does not know."""
    return catalogue().by_path(path).unit.sign if path in catalogue() else ""
