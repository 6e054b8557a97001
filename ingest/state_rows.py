"""Rows of ``vehicle_state`` <-> :class:`ingest.state.VehicleState`. The one place that knows how they are stored."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from psycopg.rows import tuple_row

from ingest.database import Connection
from ingest.state import EstimateState, SignalState, TroubleCode, VehicleState

_signals = msgspec.json.Decoder(dict[str, SignalState])
_estimates = msgspec.json.Decoder(dict[str, EstimateState])
_codes = msgspec.json.Decoder(tuple[TroubleCode, ...])
_cleared = msgspec.json.Decoder(dict[str, datetime])

_SELECT: Final = """
    SELECT vehicle_id, version, last_sample_at, changed_at, trace,
           signals::text, estimates::text, trouble_codes::text, cleared_codes::text
    FROM vehicle_state WHERE vehicle_id = ANY(%s) AND version > 0
"""


def read_states(connection: Connection, vehicle_ids: Sequence[UUID]) -> dict[UUID, VehicleState]:
    """States of those of these vehicles that have one."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return {row[0]: _state(row) for row in cursor.execute(_SELECT, [list(vehicle_ids)])}


def lock_states(connection: Connection, vehicle_ids: Iterable[UUID]) -> dict[UUID, VehicleState]:
    """States of all these vehicles, their rows locked until the transaction ends.

    Rows are made and locked in the order of ids: two workers with the same vehicles wait for each other and
    never deadlock.
    """
    wanted = sorted(vehicle_ids)
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(
            "INSERT INTO vehicle_state (vehicle_id, version) SELECT id, 0 FROM unnest(%s::uuid[]) AS id ORDER BY id"
            " ON CONFLICT DO NOTHING",
            [wanted],
        )
        cursor.execute(
            "SELECT 1 FROM vehicle_state WHERE vehicle_id = ANY(%s) ORDER BY vehicle_id FOR UPDATE", [wanted]
        )
    found = read_states(connection, wanted)
    return {vehicle_id: found.get(vehicle_id, VehicleState(vehicle_id=vehicle_id)) for vehicle_id in wanted}


def write_states(connection: Connection, states: Iterable[VehicleState]) -> None:
    """Write states whose rows are locked."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            UPDATE vehicle_state SET version = %s, last_sample_at = %s, changed_at = %s, trace = %s,
                signals = %s::jsonb, estimates = %s::jsonb, trouble_codes = %s::jsonb, cleared_codes = %s::jsonb
            WHERE vehicle_id = %s
            """,
            [
                (
                    state.version,
                    state.last_sample_at,
                    state.changed_at,
                    state.trace,
                    _document(state.signals),
                    _document(state.estimates),
                    _document(state.trouble_codes),
                    _document(state.cleared_codes),
                    state.vehicle_id,
                )
                for state in states
            ],
        )


def _document(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _state(row: tuple[UUID, int, datetime | None, datetime, str | None, str, str, str, str]) -> VehicleState:
    vehicle_id, version, last_sample_at, changed_at, trace, signals, estimates, codes, cleared = row
    return VehicleState(
        vehicle_id=vehicle_id,
        version=version,
        last_sample_at=last_sample_at,
        changed_at=changed_at,
        trace=trace,
        signals=_signals.decode(signals),
        estimates=_estimates.decode(estimates),
        trouble_codes=_codes.decode(codes),
        cleared_codes=_cleared.decode(cleared),
    )
