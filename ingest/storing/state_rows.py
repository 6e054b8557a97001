"""Rows of ``vehicle_state`` <-> :class:`ingest.storing.state.VehicleState`. Only here is known how they are stored."""

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from psycopg import sql
from psycopg.rows import tuple_row

from ingest.database import Connection
from ingest.storing.state import EstimateState, SignalState, TroubleCode, VehicleState

logger = logging.getLogger(__name__)

_Row: TypeAlias = tuple[Any, ...]  # vehicle_id, version, last_sample_at, changed_at, trace, then the documents as text
_HEAD: Final = 5  # fields before the documents
_DOCUMENTS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "signals": msgspec.json.Decoder(dict[str, SignalState]),
    "estimates": msgspec.json.Decoder(dict[str, EstimateState]),
    "trouble_codes": msgspec.json.Decoder(tuple[TroubleCode, ...]),
    "cleared_codes": msgspec.json.Decoder(dict[str, datetime]),
}
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError)

_SELECT: Final = """
    SELECT vehicle_id, version, last_sample_at, changed_at, trace,
           signals::text, estimates::text, trouble_codes::text, cleared_codes::text
    FROM vehicle_state WHERE vehicle_id = ANY(%s) AND version > 0
"""
_MAKE: Final = """
    INSERT INTO vehicle_state (vehicle_id, version)
    SELECT id, 0 FROM unnest(%b::uuid[]) AS id WHERE NOT EXISTS (SELECT FROM vehicle_state WHERE vehicle_id = id)
    ORDER BY id ON CONFLICT DO NOTHING
"""
_LOCK: Final = """
    SELECT state.vehicle_id, version, last_sample_at, changed_at, trace, signals::text,
           CASE WHEN whole THEN estimates::text END,
           CASE WHEN whole THEN trouble_codes::text END,
           CASE WHEN whole THEN cleared_codes::text END
    FROM unnest(%b::uuid[], %b::boolean[]) AS wanted (vehicle_id, whole)
    JOIN vehicle_state AS state ON state.vehicle_id = wanted.vehicle_id
    ORDER BY state.vehicle_id FOR UPDATE OF state
"""
_WRITE: Final = """
    UPDATE vehicle_state AS state
    SET version = changed.version, last_sample_at = changed.last_sample_at, changed_at = changed.changed_at,
        trace = changed.trace,
        signals = coalesce(changed.signals::jsonb, state.signals),
        estimates = coalesce(changed.estimates::jsonb, state.estimates),
        trouble_codes = coalesce(changed.trouble_codes::jsonb, state.trouble_codes),
        cleared_codes = coalesce(changed.cleared_codes::jsonb, state.cleared_codes)
    FROM unnest(%b::uuid[], %b::bigint[], %b::timestamptz[], %b::timestamptz[], %b::text[],
                %b::text[], %b::text[], %b::text[], %b::text[])
        AS changed (vehicle_id, version, last_sample_at, changed_at, trace,
                    signals, estimates, trouble_codes, cleared_codes)
    WHERE state.vehicle_id = changed.vehicle_id
"""


def read_states(connection: Connection, vehicle_ids: Sequence[UUID]) -> dict[UUID, VehicleState]:
    """States of those of these vehicles that have one."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return {row[0]: _state(row) for row in cursor.execute(_SELECT, [list(vehicle_ids)])}


def lock_states(
    connection: Connection, vehicle_ids: Iterable[UUID], *, signals_only: Collection[UUID] = ()
) -> dict[UUID, VehicleState]:
    """States of all these vehicles, their rows locked until the transaction ends.

    Rows are made and locked in the order of ids: two workers with the same vehicles wait for each other and
    never deadlock. Of ``signals_only`` the other documents are not read: nothing may be merged into them. A document
    that cannot be read is emptied, with an error in the log: one broken row must not keep its car's data out.
    """
    wanted = sorted(vehicle_ids)
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(_MAKE, [wanted])
        rows = cursor.execute(_LOCK, [wanted, [vehicle not in signals_only for vehicle in wanted]]).fetchall()
    states: dict[UUID, VehicleState] = {}
    for row in rows:
        try:
            states[row[0]] = _state(row)
        except _UNREADABLE:
            states[row[0]] = _state(_mend(connection, row))
    return states


def write_states(connection: Connection, changes: Iterable[tuple[VehicleState, VehicleState]]) -> None:
    """Write states whose rows are locked, each given as it was and as it is: documents that are the same stay."""
    columns = zip(*(_changed(before, after) for before, after in changes), strict=True)
    if parameters := [list(column) for column in columns]:
        connection.execute(_WRITE, parameters)


def _changed(before: VehicleState, after: VehicleState) -> tuple[object, ...]:
    return (
        after.vehicle_id,
        after.version,
        after.last_sample_at,
        after.changed_at,
        after.trace,
        *(_document(getattr(before, name), getattr(after, name)) for name in _DOCUMENTS),
    )


def _document(before: object, after: object) -> str | None:
    return None if after is before else msgspec.json.encode(after).decode()


def _state(row: _Row) -> VehicleState:
    vehicle_id, version, last_sample_at, changed_at, trace, *texts = row
    documents: dict[str, Any] = {
        name: decoder.decode(text)
        for (name, decoder), text in zip(_DOCUMENTS.items(), texts, strict=True)
        if text is not None
    }
    return VehicleState(
        vehicle_id=vehicle_id,
        version=version,
        last_sample_at=last_sample_at,
        changed_at=changed_at,
        trace=trace,
        **documents,
    )


def _mend(connection: Connection, row: _Row) -> _Row:
    """Empty what cannot be read, here and in the database."""
    mended = list(row)
    for place, (name, decoder) in enumerate(_DOCUMENTS.items(), start=_HEAD):
        if mended[place] is None:
            continue
        try:
            decoder.decode(mended[place])
        except _UNREADABLE:
            logger.error("%s in the state of vehicle %s cannot be read and begins anew", name, row[0])  # noqa: TRY400 - its text would repeat the document
            mended[place] = None
            connection.execute(
                sql.SQL("UPDATE vehicle_state SET {} = DEFAULT WHERE vehicle_id = %s").format(sql.Identifier(name)),
                [row[0]],
            )
    return tuple(mended)
