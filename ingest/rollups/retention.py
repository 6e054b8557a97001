"""How long what is stored is kept: the one place with the defaults, and how the setting changes them. Pure."""

import dataclasses
import difflib
import re
from dataclasses import dataclass

from ingest.errors import RetentionError

_FOREVER = "forever"
_ENTRY = re.compile(r"(?P<table>[a-z_]+)=(?P<days>[0-9]+d|forever)")


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Days that each table's rows are kept, None for ever. Whole chunks go, so that rows may stay a chunk longer.

    Raises RetentionError for what would lose data that is counted on.
    """

    reading: int | None = 90  # raw rows: diagnosing in detail, and replaying a car's last months
    estimate: int | None = None  # the health curve of a car's whole life, a few rows a day
    rollup_hour: int | None = 730
    rollup_day: int | None = None
    # A dongle may come back with batches whose acknowledgement it never got: without the ledger they are stored twice.
    batch: int | None = 730
    device_command: int | None = 730  # who asked a car for what
    rejected_message: int | None = 30  # with payloads of up to 1 MiB

    def __post_init__(self) -> None:
        for table, days in self.as_dict().items():
            if days is not None and days < 1:
                raise RetentionError(f"retention of {table}: keep it for at least 1d, or forever")
        _at_least(self.reading, self.rollup_hour, "rollup_hour", "reading", "it is computed from its raw rows")
        _at_least(self.rollup_hour, self.rollup_day, "rollup_day", "rollup_hour", "it is computed from its hours")
        _at_least(self.reading, self.batch, "batch", "reading", "it tells which batches are stored already")

    def as_dict(self) -> dict[str, int | None]:
        """Days by table."""
        return dataclasses.asdict(self)


def _at_least(shorter: int | None, longer: int | None, name: str, other: str, reason: str) -> None:
    if longer is not None and (shorter is None or longer < shorter):
        kept = _FOREVER if shorter is None else f"{shorter}d"
        raise RetentionError(f"retention of {name} is {longer}d, that of {other} {kept}: keep it as long, {reason}")


def parse_retention(text: str) -> Retention:
    """Retention of ``reading=30d rollup_hour=forever``: what is not named keeps its default. Or RetentionError."""
    tables = [field.name for field in dataclasses.fields(Retention)]
    given: dict[str, int | None] = {}
    for word in text.replace(",", " ").split():
        match = _ENTRY.fullmatch(word)
        if match is None:
            raise RetentionError(f"retention {word!r}: write it as reading=90d or estimate=forever")
        table = match["table"]
        if table not in tables:
            close = difflib.get_close_matches(table, tables, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(tables)}"
            raise RetentionError(f"retention {word!r}: no table {table!r} has one; {hint}")
        given[table] = None if match["days"] == _FOREVER else int(match["days"][:-1])
    return Retention(**given)
