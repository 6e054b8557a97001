"""How a car is shown on a terminal, whether it stands at this adapter or was asked from afar."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from rich.table import Table

from telemetry.catalogue import catalogue

if TYPE_CHECKING:
    from edge_agent.diagnose.trace import TraceRow


class Language(StrEnum):
    """The languages in which trouble codes are explained."""

    EN = "en"
    ZH = "zh"


def code_row(code: Mapping[str, object], language: Language) -> dict[str, object]:
    """One trouble code (its code, ecu, status and warning_lamp) with what it means and what to do."""
    from telemetry.trouble_codes import describe

    meaning = describe(str(code.get("code")), "zh" if language is Language.ZH else "en")
    return {
        "code": code.get("code"),
        "ecu": code.get("ecu"),
        "status": code.get("status"),
        "lamp": code.get("warning_lamp"),
        "severity": meaning.severity,
        "job": meaning.job,
        "meaning": meaning.meaning,
        "what_to_do": meaning.advice,
    }


def live_table(rows: "Iterable[TraceRow]", faults: Mapping[str, str] | None = None) -> Table:
    """Signals with their course, and below them what could not be read."""
    caption = "\n".join(f"not read: {request}: {reason}" for request, reason in sorted((faults or {}).items())[:8])
    table = Table(box=None, header_style="bold", pad_edge=False, caption=caption or None, caption_justify="left")
    for column in ("signal", "value", "unit", "course", "low", "high", "age"):
        table.add_column(column, justify="right" if column in {"value", "low", "high", "age"} else "left", no_wrap=True)
    for row in rows:
        table.add_row(
            row.path.removeprefix("Vehicle."),
            f"{row.value:g}",
            unit_of(row.path),
            row.course,
            f"{row.low:g}",
            f"{row.high:g}",
            f"{row.age_s:.0f} s",
        )
    return table


def unit_of(path: str) -> str:
    """Sign of the unit of a signal; empty for one that this version does not know."""
    return catalogue().by_path(path).unit.sign if path in catalogue() else ""
