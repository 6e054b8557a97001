"""Who may ask a device something from afar, and what was asked: grants and the record of commands.

A grant is a token that its holder shows; the database keeps its digest alone. Each command is recorded in a
transaction of its own before it is sent, denied ones too. Sending is :mod:`ingest.outbound.remote`.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ingest.database import Connection
from ingest.errors import CommandError
from telemetry.commands import Command, CommandKind, CommandResult

CommandState = Literal["issued", "accepted", "done", "refused", "failed", "denied", "timed_out"]
LONGEST_GRANT: Final = timedelta(days=365)
_TOKEN_BYTES: Final = 32
_ABANDONED_AFTER: Final = timedelta(minutes=1)  # since it expired: whoever asks notes the end within a moment


@dataclass(frozen=True, kw_only=True)
class Grant:
    """That someone may ask. ``device_id`` None: every device."""

    id: UUID
    operator: str
    kinds: list[str]
    device_id: str | None
    expires_at: datetime
    revoked_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class CommandEntry:
    """One command as recorded. ``operator`` None: it was denied to somebody without a grant."""

    id: UUID
    device_id: str
    kind: str
    operator: str | None
    issued_at: datetime
    expires_at: datetime
    state: CommandState
    reason: str | None
    parts: int
    answer: dict[str, Any] | None
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Denied:
    """Why a command is not sent."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class DeviceLastSeen:
    """What a device said of itself last."""

    state: Literal["online", "offline"]
    time: datetime


def allow(
    connection: Connection,
    *,
    operator: str,
    kinds: Iterable[CommandKind],
    device: str | None,
    valid_for: timedelta,
    now: datetime,
) -> tuple[Grant, str]:
    """Grant and return the token, which cannot be had again. CommandError says what is wrong."""
    wanted = sorted({kind.value for kind in kinds})
    if not operator.strip() or not wanted:
        raise CommandError("a grant names who holds it and at least one kind of command")
    if not timedelta(0) < valid_for <= LONGEST_GRANT:
        raise CommandError(f"a grant is valid for 1 to {LONGEST_GRANT.days} days; renew it then")
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        with connection.cursor(row_factory=class_row(Grant)) as cursor:
            granted = cursor.execute(
                "INSERT INTO operator_grant (operator, token_digest, kinds, device_id, expires_at, created_at)"
                " VALUES (%s, %s, %s, %s, %s, %s)"
                " RETURNING id, operator, kinds, device_id, expires_at, revoked_at, created_at",
                [operator.strip()[:100], _digest(token), wanted, device, now + valid_for, now],
            ).fetchone()
    except psycopg.errors.ForeignKeyViolation as error:
        raise CommandError(f"there is no device {device!r}; see wearcast ingest device list") from error
    assert granted is not None
    return granted, token


def revoke(connection: Connection, grant_id: UUID, now: datetime) -> None:
    """End a grant. CommandError if there is none."""
    changed = connection.execute(
        "UPDATE operator_grant SET revoked_at = coalesce(revoked_at, %s) WHERE id = %s", [now, grant_id]
    ).rowcount
    if not changed:
        raise CommandError(f"there is no grant {grant_id}; see wearcast operators list")


def grants(connection: Connection) -> list[Grant]:
    """All grants, newest first, ended ones too."""
    with connection.cursor(row_factory=class_row(Grant)) as cursor:
        return cursor.execute(
            "SELECT id, operator, kinds, device_id, expires_at, revoked_at, created_at FROM operator_grant"
            " ORDER BY created_at DESC, id"
        ).fetchall()


def issue(
    connection: Connection,
    *,
    token: str,
    device: str,
    kind: CommandKind,
    seconds: float,
    patience: timedelta,
    now: datetime,
    database_now: datetime,
) -> Command | Denied:
    """Decide and record: the command to send, or why not. Commit before sending.

    The grant is judged by the database's time, as another machine gave it. ``now`` is this machine's, by which the
    answer is waited for.
    """
    held = connection.execute(
        "SELECT id, kinds, device_id, expires_at <= %s, revoked_at IS NOT NULL FROM operator_grant"
        " WHERE token_digest = %s",
        [database_now, _digest(token)],
    ).fetchone()
    registered = connection.execute("SELECT enabled FROM device WHERE id = %s", [device]).fetchone()
    reason = _denial(held, registered, device, kind)
    command = Command(id=uuid4(), device=device, kind=kind, issued=now, expires=now + patience, seconds=seconds)
    connection.execute(
        "INSERT INTO device_command"
        " (id, device_id, kind, seconds, grant_id, issued_at, expires_at, state, reason, finished_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            command.id,
            device[:100],
            kind.value,
            seconds,
            None if held is None else held[0],
            command.issued,
            command.expires,
            "issued" if reason is None else "denied",
            reason,
            None if reason is None else now,
        ],
    )
    return command if reason is None else Denied(reason=reason)


def record(connection: Connection, result: CommandResult, now: datetime) -> None:
    """Note a message of an answer; what came after the last one changes nothing.

    What the database cannot hold (a NUL in a text) is replaced: an answer is a device's word, and may be anything.
    """
    connection.execute(
        "UPDATE device_command SET state = CASE WHEN %(state)s = 'part' THEN state ELSE %(state)s END,"
        " reason = coalesce(%(reason)s, reason), parts = parts + (%(state)s = 'part')::integer,"
        " answer = CASE WHEN %(final)s THEN %(answer)s ELSE answer END,"
        " finished_at = CASE WHEN %(final)s THEN %(now)s ELSE finished_at END"
        " WHERE id = %(id)s AND device_id = %(device)s AND state IN ('issued', 'accepted')",
        {
            "state": result.state,
            "reason": _storable(result.reason),
            "final": result.final,
            "answer": Jsonb(_storable(dict(result.data))),
            "now": now,
            "id": result.id,
            "device": result.device,
        },
    )


def give_up(
    connection: Connection,
    command: Command,
    reason: str,
    now: datetime,
    *,
    state: Literal["timed_out", "failed"] = "timed_out",
) -> None:
    """Note that nobody waits any longer, and why; ``failed``: not for want of an answer."""
    connection.execute(
        "UPDATE device_command SET state = %s, reason = %s, finished_at = %s"
        " WHERE id = %s AND state IN ('issued', 'accepted')",
        [state, reason, now, command.id],
    )


def close_abandoned(connection: Connection, now: datetime) -> int:
    """Time out what is still open long after it expired, because whoever asked was killed; how many these were."""
    return connection.execute(
        "UPDATE device_command SET state = 'timed_out', finished_at = %s,"
        " reason = 'whoever asked was gone before an answer was recorded'"
        " WHERE state IN ('issued', 'accepted') AND expires_at < %s",
        [now, now - _ABANDONED_AFTER],
    ).rowcount


def commands(connection: Connection, *, device: str | None = None, limit: int = 50) -> list[CommandEntry]:
    """What was asked, newest first."""
    with connection.cursor(row_factory=class_row(CommandEntry)) as cursor:
        return cursor.execute(
            "SELECT c.id, c.device_id, c.kind, g.operator, c.issued_at, c.expires_at, c.state, c.reason, c.parts,"
            " c.answer, c.finished_at FROM device_command c LEFT JOIN operator_grant g ON g.id = c.grant_id"
            " WHERE %(device)s::text IS NULL OR c.device_id = %(device)s ORDER BY c.issued_at DESC LIMIT %(limit)s",
            {"device": device, "limit": limit},
        ).fetchall()


def last_seen(connection: Connection, device: str) -> DeviceLastSeen | None:
    """The device's last status; None if it never reported."""
    with connection.cursor(row_factory=class_row(DeviceLastSeen)) as cursor:
        return cursor.execute("SELECT state, time FROM device_status WHERE device_id = %s", [device]).fetchone()


def _denial(
    held: tuple[Any, ...] | None, registered: tuple[Any, ...] | None, device: str, kind: CommandKind
) -> str | None:
    if held is None:
        return "this token is not known; ask for one (wearcast operators allow)"
    _, kinds, only_device, expired, revoked = held
    if revoked:
        return "this token was revoked; ask for a new one (wearcast operators allow)"
    if expired:
        return "this token has expired; ask for a new one (wearcast operators allow)"
    if only_device is not None and only_device != device:
        return f"this token is for device {only_device} alone"
    if kind.value not in kinds:
        return f"this token allows {', '.join(kinds)}, not {kind}"
    if registered is None:
        return f"there is no device {device[:100]!r}; see wearcast ingest device list"
    if not registered[0]:
        return f"device {device} is disabled; enable it first"
    return None


def _storable(value: Any) -> Any:
    """The same content without the one character that PostgreSQL takes in no text."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
