"""Owners. What says who and where they are is sealed with their own key (:mod:`ingest.personal.vault`)."""

from collections.abc import Mapping
from typing import Any, Final, LiteralString
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from ingest.database import Connection
from ingest.errors import RegistryError
from ingest.personal.mask import channel_scheme
from ingest.personal.persons import keep_person, open_person
from ingest.personal.vault import Person, the_vault
from ingest.registry.records import Language, Owner
from ingest.registry.table import all_of, insert, one, require_known, require_mail_address, rewrite

_COLUMNS: LiteralString = (
    "id, name, language, time_zone, notify_urls, email, position, created_at,"
    " (SELECT wrapped FROM personal_key WHERE owner_id = owner.id) AS wrapped"
)
_FIELDS: Final = {"name", "language", "time_zone", "notify_urls", "email", "latitude", "longitude"}
_SEALED: Final = ("name", "notify_urls", "email", "position")


def register_owner(
    connection: Connection,
    *,
    name: str,
    language: Language = "en",
    time_zone: str = "UTC",
    notify_urls: tuple[str, ...] = (),
    email: str | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
) -> Owner:
    """Add an owner; ``id`` only where it must be known beforehand."""
    person = the_vault().new_person(id or uuid4())
    values = {
        "id": person.owner_id,
        "language": language,
        "time_zone": time_zone,
        **_sealed(
            person,
            {"name": name, "notify_urls": notify_urls, "email": email, "latitude": latitude, "longitude": longitude},
        ),
    }
    with connection.transaction():
        insert(connection, "owner", values, "id")
        keep_person(connection, person)
        return owner_by_id(connection, person.owner_id)


def owner_by_id(connection: Connection, owner_id: UUID) -> Owner:
    """The owner, or RegistryError."""
    return _owner(one(connection, "owner", owner_id, _COLUMNS))


def owners(connection: Connection) -> list[Owner]:
    """All owners, by name."""
    found = [_owner(row) for row in all_of(connection, "owner", _COLUMNS, order="id")]
    return sorted(found, key=lambda owner: owner.name)


def update_owner(connection: Connection, owner_id: UUID, **changes: object) -> Owner:
    """Change the fields named (those of :func:`register_owner`)."""
    require_known("owner", changes, _FIELDS)
    with connection.transaction():
        person = open_person(connection, owner_id, lock=True)
        if person is None:
            return owner_by_id(connection, owner_id)  # which says what is missing
        if {"latitude", "longitude"} & set(changes):
            before = owner_by_id(connection, owner_id)
            changes = {"latitude": before.latitude, "longitude": before.longitude, **changes}
        plain: dict[str, object] = {name: changes[name] for name in ("language", "time_zone") if name in changes}
        return _owner(rewrite(connection, "owner", owner_id, {**plain, **_sealed(person, changes)}, _COLUMNS))


def _sealed(person: Person, fields: Mapping[str, Any]) -> dict[str, bytes | None]:
    """Columns of the personal fields among these. RegistryError where one is not what it should be."""
    values: dict[str, object] = {name: fields[name] for name in ("name", "email") if name in fields}
    if values.get("name", "") is None:
        raise RegistryError("owner: name must be given")
    if values.get("email") is not None:
        require_mail_address("owner", values["email"])
    if not all(_is_channel(url) for url in fields.get("notify_urls", ())):
        raise RegistryError("owner: a notification address is none; give it as scheme://… as Apprise takes it")
    if "notify_urls" in fields:
        values["notify_urls"] = list(fields["notify_urls"])
    if "latitude" in fields:
        values["position"] = _position(fields["latitude"], fields["longitude"])
    return {column: person.seal("owner", column, person.owner_id, value) for column, value in values.items()}


def _is_channel(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:
        return False
    return bool(channel_scheme(url))


def _position(latitude: float | None, longitude: float | None) -> list[float] | None:
    if latitude is None and longitude is None:
        return None
    if latitude is None or longitude is None:
        raise RegistryError("owner: a position has a latitude and a longitude; give both")
    if not -90 <= latitude <= 90:
        raise RegistryError("owner: the latitude must be degrees between -90 and 90")
    if not -180 <= longitude <= 180:
        raise RegistryError("owner: the longitude must be degrees between -180 and 180")
    return [latitude, longitude]


def _owner(row: dict[str, Any]) -> Owner:
    person = the_vault().person(row["id"], row.pop("wrapped"))
    for column in _SEALED:
        row[column] = person.unseal("owner", column, person.owner_id, row[column])
    latitude, longitude = row.pop("position") or (None, None)
    row["notify_urls"] = tuple(row["notify_urls"] or ())
    return Owner(**row, latitude=latitude, longitude=longitude)
