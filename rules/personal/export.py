"""A copy of everything about one person, as a ZIP of JSON and CSV (GDPR Art. 15 and 20, PIPL Art. 45)."""

import json
import zipfile
from dataclasses import asdict
from datetime import datetime
from typing import IO, Any, Final
from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row

from ingest import registry
from ingest.database import Connection
from ingest.personal.places import Place
from rules.personal.places import ALL_PLACES
from rules.personal.subject import Subject, find_subject, rows_of

FORMAT: Final = "wearcast.export/1"
_PLAIN_ALREADY: Final = {"vehicle"}  # in vehicles.json, with what is sealed in the table
_PURPOSES: Final = {
    "owner.json": "who you are to us: name, addresses, position, language, time zone",
    "vehicles.json": "your vehicles",
    "rejected_message.jsonl": "messages of your dongles that could not be used",
}


def write_export(connection: Connection, owner_id: UUID, target: IO[bytes], now: datetime) -> dict[str, int]:
    """Write the ZIP; rows by file. RegistryError where there is no such owner.

    All of it is as of one instant. The connection must be in autocommit mode.
    """
    written: dict[str, int] = {}
    with connection.transaction(), zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        subject = find_subject(connection, owner_id)
        written["owner.json"] = _document(archive, "owner.json", asdict(registry.owner_by_id(connection, owner_id)))
        vehicles = [asdict(vehicle) for vehicle in registry.vehicles_of_owner(connection, owner_id)]
        written["vehicles.json"] = _document(archive, "vehicles.json", vehicles)
        purposes = dict(_PURPOSES)
        for place in ALL_PLACES:
            if place.exported and place.table not in _PLAIN_ALREADY:
                name = f"{place.table}.{'jsonl' if place.time is None else 'csv'}"
                written[name] = _place(connection, archive, name, place, subject)
                purposes[name] = place.why
        written["rejected_message.jsonl"] = _rejected(connection, archive, subject)
        _document(
            archive,
            "about.json",
            {
                "format": FORMAT,
                "owner": owner_id,
                "made_at": now,
                "files": {name: {"what": purposes[name], "rows": count} for name, count in written.items()},
            },
        )
    return written


def _place(connection: Connection, archive: zipfile.ZipFile, name: str, place: Place, subject: Subject) -> int:
    if place.time is None:
        query = sql.SQL("SELECT to_jsonb({})::text {}").format(sql.Identifier(place.table), rows_of(place))
        return _lines(connection, archive, name, query, subject)
    query = sql.SQL("COPY (SELECT * {} ORDER BY {}) TO STDOUT (FORMAT csv, HEADER)").format(
        rows_of(place), sql.Identifier(place.time)
    )
    lines = 0
    with (
        archive.open(name, "w", force_zip64=True) as file,
        connection.cursor() as cursor,
        cursor.copy(query, subject.parameters) as copy,
    ):
        for block in copy:
            lines += bytes(block).count(b"\n")
            file.write(block)
    return lines - 1  # the first line names the columns; no column here holds a line break


def _rejected(connection: Connection, archive: zipfile.ZipFile, subject: Subject) -> int:
    query = sql.SQL(
        "SELECT (to_jsonb(message) - 'payload' || jsonb_build_object('payload', encode(payload, 'base64')))::text"
        " FROM rejected_message AS message WHERE split_part(topic, '/', 3) = ANY(%(devices)s) ORDER BY id"
    )
    return _lines(connection, archive, "rejected_message.jsonl", query, subject)


def _lines(
    connection: Connection, archive: zipfile.ZipFile, name: str, query: sql.SQL | sql.Composed, subject: Subject
) -> int:
    count = 0
    with archive.open(name, "w", force_zip64=True) as file, connection.cursor(row_factory=scalar_row) as cursor:
        for line in cursor.stream(query, subject.parameters):
            file.write(f"{line}\n".encode())
            count += 1
    return count


def _document(archive: zipfile.ZipFile, name: str, content: Any) -> int:
    archive.writestr(name, json.dumps(content, default=_text, ensure_ascii=False, indent=2))
    return len(content) if isinstance(content, list) else 1


def _text(value: object) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
