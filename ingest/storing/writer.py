"""One group of messages -> one transaction. What commits is what may be acknowledged.

Order inside the transaction, the same in every worker so that none waits for the other in a circle: ledger of batches,
rows, marks for their roll-ups, service records, state of vehicles, state of devices, rejected messages; each by
ascending key.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row

from ingest.database import Connection
from ingest.decoding.columns import ColumnarBatch
from ingest.decoding.decode import TEMPORARY_REASONS, Accepted, Incoming, Readings, Rejection, decode_group
from ingest.outbound.services import applied_by_events
from ingest.rollups.mark import mark_readings
from ingest.storing.acknowledgements import acknowledgements
from ingest.storing.ledger import Batch, enter, refused_again
from ingest.storing.rejections import keep_rejections, offenders
from ingest.storing.rows import copy_estimates, copy_events, copy_readings
from ingest.storing.state import merge
from ingest.storing.state_rows import lock_states, write_states
from telemetry.records import Acknowledgement, DeviceStatus, EventsBatch

# What the data is to blame for, and will be each time it is tried. psycopg counts the last two, a row or a statement
# beyond a limit of PostgreSQL's, as operational, like a lost connection.
_DATA_FAULTS: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a group, once committed."""

    acknowledgements: tuple[Acknowledgement, ...] = ()
    batches: int = 0  # stored now
    duplicates: int = 0  # stored before
    samples: int = 0  # stored now
    rejected: int = 0  # messages
    reasons: Counter[str] = field(default_factory=Counter)  # of rejection, each with its number of messages
    newest_sample_at: datetime | None = None  # of what was stored now
    offenders: tuple[str, ...] = ()  # devices that sent what no honest one sends, one name per message

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            acknowledgements=self.acknowledgements + other.acknowledgements,
            batches=self.batches + other.batches,
            duplicates=self.duplicates + other.duplicates,
            samples=self.samples + other.samples,
            rejected=self.rejected + other.rejected,
            reasons=self.reasons + other.reasons,
            newest_sample_at=max(filter(None, (self.newest_sample_at, other.newest_sample_at)), default=None),
            offenders=self.offenders + other.offenders,
        )


def store(connection: Connection, messages: Sequence[Incoming], now: datetime) -> Outcome:
    """Store a group and commit it; what cannot be stored is stored as rejected.

    One bad message spoils no other: if the database refuses the data of a group, its halves are tried apart until the
    culprit stands alone. Raises psycopg.Error when the database cannot take anything now: nothing is stored then.
    """
    outcome, left = Outcome(), messages
    while left:
        decoded = decode_group(left)
        outcome += store_decoded(connection, decoded, now)
        left = left[len(decoded) :]
    return outcome


def store_decoded(connection: Connection, decoded: Sequence[Accepted | Rejection], now: datetime) -> Outcome:
    """As :func:`store`, of messages decoded before."""
    try:
        with connection.transaction():
            return _store_group(connection, decoded, now)
    except _DATA_FAULTS as error:
        if len(decoded) > 1:
            half = len(decoded) // 2
            return store_decoded(connection, decoded[:half], now) + store_decoded(connection, decoded[half:], now)
        (culprit,) = decoded
        if isinstance(culprit, Rejection):
            raise
        key = None if isinstance(culprit.record, DeviceStatus) else culprit.record.key
        detail = f"{type(error).__name__}: {error.diag.message_primary}"
        refusal = Rejection(message=culprit.message, reason="unstorable", detail=detail, key=key)
        return store_decoded(connection, [refusal], now)


def _store_group(connection: Connection, decoded: Sequence[Accepted | Rejection], now: datetime) -> Outcome:
    rejections = [entry for entry in decoded if isinstance(entry, Rejection)]
    accepted = [entry for entry in decoded if isinstance(entry, Accepted)]
    vehicles = _vehicles(connection, accepted, rejections)
    accepted = [entry for entry in accepted if _device(entry.record) in vehicles]
    ledger = enter(connection, accepted)
    stored = {id(entry): entry.key for entry in refused_again(connection, rejections)}
    rejections = [entry for entry in rejections if id(entry) not in stored] + ledger.replayed

    events = [batch for batch in ledger.new if isinstance(batch, EventsBatch)]
    readings = [batch for batch in ledger.new if not isinstance(batch, EventsBatch)]
    samples = copy_readings(connection, vehicles, readings)
    mark_readings(connection, vehicles, readings)
    copy_estimates(connection, vehicles, readings)
    copy_events(connection, vehicles, events)
    applied_by_events(connection, [(vehicles[batch.key.device], batch) for batch in events], now)
    _merge_states(connection, vehicles, ledger.new, now)
    _keep_statuses(connection, [entry.record for entry in accepted if isinstance(entry.record, DeviceStatus)], now)
    keep_rejections(connection, rejections)
    refused = {
        entry.key: (entry.reason, entry.stored)
        for entry in rejections
        if entry.key is not None and entry.reason not in TEMPORARY_REASONS
    }
    return Outcome(
        acknowledgements=acknowledgements([*ledger.committed, *filter(None, stored.values())], refused),
        batches=len(ledger.new),
        duplicates=ledger.duplicates + len(stored),
        samples=samples,
        rejected=len(rejections),
        reasons=Counter(entry.reason for entry in rejections),
        newest_sample_at=max(filter(None, map(_last_sample_at, readings)), default=None),
        offenders=offenders(rejections),
    )


def _last_sample_at(batch: Readings) -> datetime | None:
    if isinstance(batch, ColumnarBatch):
        return batch.last_sample_at
    return batch.samples[-1].time if batch.samples else None


def _device(record: Batch | DeviceStatus) -> str:
    return record.device if isinstance(record, DeviceStatus) else record.key.device


def _vehicles(connection: Connection, accepted: Iterable[Accepted], rejections: list[Rejection]) -> dict[str, UUID]:
    """Vehicle by device, of the devices that may store; messages of the others are added to ``rejections``."""
    accepted = list(accepted)
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT id, vehicle_id, enabled FROM device WHERE id = ANY(%s)",
            [list({_device(entry.record) for entry in accepted})],
        ).fetchall()
    known = {device: enabled for device, _, enabled in rows}
    for entry in accepted:
        device = _device(entry.record)
        if known.get(device, False):
            continue
        if device in known:
            reason, detail = "disabled-device", f"device {device} is disabled; enable it to take its messages"
        else:
            reason, detail = "unknown-device", f"device {device} is not registered; register it with its vehicle"
        key = None if isinstance(entry.record, DeviceStatus) else entry.record.key
        rejections.append(Rejection(message=entry.message, reason=reason, detail=detail, key=key))
    return {device: vehicle for device, vehicle, enabled in rows if enabled}


def _merge_states(connection: Connection, vehicles: dict[str, UUID], batches: Sequence[Batch], now: datetime) -> None:
    by_vehicle: dict[UUID, list[Batch]] = {}
    for batch in batches:
        by_vehicle.setdefault(vehicles[batch.key.device], []).append(batch)
    if not by_vehicle:
        return
    signals_only = {vehicle for vehicle, its in by_vehicle.items() if not any(map(_touches_more_than_signals, its))}
    states = lock_states(connection, by_vehicle, signals_only=signals_only)
    changes = [(state, merge(state, by_vehicle[vehicle], now)) for vehicle, state in states.items()]
    write_states(connection, [(before, after) for before, after in changes if after is not before])


def _touches_more_than_signals(batch: Batch) -> bool:
    return isinstance(batch, EventsBatch) or bool(batch.estimates)


def _keep_statuses(connection: Connection, statuses: Iterable[DeviceStatus], now: datetime) -> None:
    """Keep the newest status.

    The last will carries the time at which the device connected, long before the broker sends it: ``offline``
    therefore counts by its arrival, as long as it is of the boot that is stored.
    """
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO device_status AS known
                (device_id, boot, state, time, version, pending_batches, oldest_pending_seconds, samples_given_up,
                 batches_resent, certificate_ends, planned, heard_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (device_id) DO UPDATE SET boot = excluded.boot, state = excluded.state,
                time = greatest(known.time, excluded.time), version = excluded.version,
                pending_batches = CASE WHEN excluded.time < known.time THEN known.pending_batches
                                       ELSE excluded.pending_batches END,
                oldest_pending_seconds = CASE WHEN excluded.time < known.time THEN known.oldest_pending_seconds
                                              ELSE excluded.oldest_pending_seconds END,
                samples_given_up = coalesce(excluded.samples_given_up, known.samples_given_up),
                batches_resent = coalesce(excluded.batches_resent, known.batches_resent),
                certificate_ends = coalesce(excluded.certificate_ends, known.certificate_ends),
                planned = excluded.planned,
                heard_at = CASE WHEN excluded.time > known.time THEN coalesce(excluded.heard_at, known.heard_at)
                                ELSE known.heard_at END  -- a broker repeats what it retains
            WHERE excluded.time >= known.time OR (excluded.state = 'offline' AND excluded.boot = known.boot)
            """,
            [
                (
                    status.device,
                    status.boot,
                    status.state,
                    status.time,
                    status.version,
                    status.pending_batches,
                    status.oldest_pending_seconds,
                    status.samples_given_up,
                    status.batches_resent,
                    status.certificate_ends,
                    status.planned,
                    now if status.state == "online" or status.planned else None,
                )
                for status in sorted(statuses, key=lambda entry: entry.device)
            ],
        )
