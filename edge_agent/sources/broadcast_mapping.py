"""Which signal of a DBC is which signal of the catalogue, as a configuration says it."""

import msgspec

from edge_agent.section import Section


class CanMapping(msgspec.Struct, frozen=True, kw_only=True):
    """One DBC signal and the catalogue signal it is: value in the catalogue's unit = DBC value * factor + offset.

    ``period_s``: at most one value in so long; None: as the source has it. A recording does not look at it.
    """

    message: str
    signal: str
    path: str
    factor: float = 1.0
    offset: float = 0.0
    period_s: float | None = None


class CompileRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a compiling process is asked: the DBC's path and what of it is wanted."""

    dbc: str
    mappings: tuple[CanMapping, ...]


def read_mapping(entry: Section) -> CanMapping:
    """An item of ``signals`` in a configuration."""
    mapping = CanMapping(
        message=entry.text("message"),
        signal=entry.text("signal"),
        path=entry.text("path"),
        factor=entry.number("factor", 1.0),
        offset=entry.number("offset", 0.0),
        period_s=entry.duration("period") if entry.has("period") else None,
    )
    entry.done()
    return mapping
