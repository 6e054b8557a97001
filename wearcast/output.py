"""What the command prints: tables for people, the same rows as JSON for programs."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

Row = Mapping[str, object]


def print_rows(rows: Sequence[Row], *, as_json: bool, title: str | None = None, empty: str = "nothing there") -> None:
    """Print rows as a table with a column for every key, or as a JSON array."""
    if as_json:
        print_json(rows)
        return
    if not rows:
        print(empty)
        return
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False).print(table)


def print_json(value: object) -> None:
    """Print any value of ours as JSON: records by their fields, times as RFC 3339."""
    print(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))


def printable(text: str) -> str:
    """Text of another's without what a terminal would obey: a car's or a device's word is shown and not carried out."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID | Path):
        return printable(str(value))
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return printable(str(value))
