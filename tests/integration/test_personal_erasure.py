"""Erasing a person: nothing that leads to them is left, nobody else loses anything, and no table can be forgotten."""

import psycopg
import pytest

from ingest import registry
from ingest.database import Connection
from ingest.errors import PersonalDataError, RegistryError
from ingest.personal.places import LINKS
from ingest.personal.vault import the_vault
from rules.personal.erase import erase_again, erase_person
from rules.personal.places import ALL_PLACES
from rules.personal.subject import Erased, count_rows, find_subject
from tests.integration.ingest_support import register_car
from tests.integration.personal_scene import (
    DONE,
    EMAIL,
    LATITUDE,
    NAME,
    VIN,
    Scene,
    add_person,
    reject,
    tables_with,
)

pytestmark = pytest.mark.database

# What stays and why is said in ingest.personal.places.
KEPT = {"personal_access", "personal_erasure", "erased_device", "device_certificate", "device_wipe"}


def erased(connection: Connection, scene: Scene) -> Erased:
    return Erased(subject=find_subject(connection, scene.owner), erased_at=DONE, reason="request")


def test_no_table_that_leads_to_a_person_is_forgotten(connection: Connection) -> None:
    rows = connection.execute(
        "SELECT columns.table_name, columns.column_name FROM information_schema.columns"
        " JOIN information_schema.tables USING (table_schema, table_name)"
        " WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND column_name = ANY(%s)",
        [list(LINKS)],
    ).fetchall()
    known = {place.table for place in ALL_PLACES}
    forgotten = {table for table, _ in rows} - known
    assert not forgotten, f"add to ingest/personal/places.py or rules/personal/places.py: {sorted(forgotten)}"
    columns = set(rows)
    assert {(place.table, place.column) for place in ALL_PLACES} <= columns
    assert all(LINKS[place.column] == place.link for place in ALL_PLACES)
    assert {place.table for place in ALL_PLACES if place.on_erasure == "kept"} == KEPT


def test_an_erased_person_is_nowhere_and_the_other_keeps_everything(connection: Connection) -> None:
    ada = add_person(connection)
    other = add_bo(connection)
    before = count_rows(connection, find_subject(connection, other.owner), ALL_PLACES)
    assert {"reading", "estimate", "rollup_hour", "booking", "outgoing"} <= set(before)
    assert tables_with(connection, str(ada.vehicle)) > {"reading", "alert", "booking"}

    deleted = erase_person(connection, erased(connection, ada), DONE)

    assert deleted["reading"] == deleted["estimate"] == 10
    assert deleted["rejected_message"] == deleted["owner"] == deleted["personal_key"] == 1
    for trace in ada.traces:
        assert tables_with(connection, trace) <= KEPT, trace
    assert tables_with(connection, NAME) == set()
    assert count_rows(connection, find_subject(connection, other.owner), ALL_PLACES) == before
    assert registry.owner_by_id(connection, other.owner).name == "Bo"
    with pytest.raises(RegistryError):
        find_subject(connection, ada.owner)


def add_bo(connection: Connection) -> Scene:
    """Another person of whom as much is known, none of it Ada's."""
    (adas,) = registry.vehicles(connection)
    registry.update_vehicle(connection, adas.id, vin=None)  # a VIN is registered once: out of the way for a moment
    bo = add_person(connection, "dongle-bo")
    registry.update_vehicle(connection, bo.vehicle, vin="WVWZZZ6RZHY999999")
    registry.update_vehicle(connection, adas.id, vin=VIN)
    registry.update_owner(connection, bo.owner, name="Bo", email=None, notify_urls=(), latitude=1, longitude=1)
    connection.execute("UPDATE vehicle_event SET data = '{}' WHERE vehicle_id = %s", [bo.vehicle])
    connection.execute("UPDATE booking SET report = 'x' WHERE vehicle_id = %s AND report <> ''", [bo.vehicle])
    connection.execute(
        "UPDATE outgoing SET payload = payload - 'report' WHERE payload ->> 'vehicle_id' = %s", [str(bo.vehicle)]
    )
    connection.execute("UPDATE rejected_message SET detail = '' WHERE split_part(topic, '/', 3) = 'dongle-bo'")
    return bo


def test_the_workshop_hears_of_the_cancellation_and_keeps_its_books_without_a_name(connection: Connection) -> None:
    ada = add_person(connection)
    erase_person(connection, erased(connection, ada), DONE)
    jobs = connection.execute("SELECT workshop_id, job, price::text, currency FROM anonymous_job").fetchall()
    assert jobs == [(ada.workshop, "brake_pads", "200.00", "EUR")]
    waiting = connection.execute(
        "SELECT kind, payload ->> 'event', payload ->> 'vehicle', payload ->> 'findings', alert_id FROM outgoing"
        " ORDER BY kind"
    ).fetchall()
    assert waiting == [
        ("workshop_invitation", "cancelled", "", "", None),
        ("workshop_webhook", "cancelled", "", "", None),
    ]


def test_what_the_dongle_still_sends_is_not_kept(connection: Connection) -> None:
    ada = add_person(connection)
    erase_person(connection, erased(connection, ada), DONE)
    reject(connection, ada.device, "later")
    reject(connection, "dongle-bo", "another's")
    rows = connection.execute("SELECT topic, payload, detail FROM rejected_message ORDER BY id").fetchall()
    assert rows[0][1:] == (b"", "a device whose owner was erased; its content is not kept")
    assert rows[1][1:] == (b"where", f"of {LATITUDE}")
    revoked = connection.execute("SELECT revoked_at, revoked_reason FROM device_certificate").fetchall()
    assert revoked == [(DONE, "the owner was erased")]


def test_an_erasure_is_applied_to_a_database_that_knows_the_person_again(connection: Connection) -> None:
    ada = add_person(connection)
    record = erased(connection, ada)
    deleted = erase_again(connection, record)
    assert deleted["owner"] == 1
    assert tables_with(connection, NAME) == tables_with(connection, EMAIL) == set()
    assert connection.execute("SELECT kind FROM outgoing").fetchall() == []  # nobody is told a second time
    assert sum(erase_again(connection, record).values()) == 0

    bo = register_car(connection, ada.device)  # the dongle serves another now
    reject(connection, ada.device, "his")
    erase_again(connection, record)
    assert registry.device_by_id(connection, ada.device).vehicle_id == bo
    assert connection.execute("SELECT payload FROM rejected_message").fetchall() == [(b"where",)]


def test_the_key_goes_with_its_person(connection: Connection) -> None:
    ada = add_person(connection)
    (name, wrapped) = connection.execute(
        "SELECT owner.name, wrapped FROM owner JOIN personal_key ON owner_id = owner.id"
    ).fetchone() or (None, None)
    assert the_vault().person(ada.owner, wrapped).unseal_text("owner", "name", ada.owner, name) == NAME
    erase_person(connection, erased(connection, ada), DONE)
    row = connection.execute("SELECT wrapped FROM personal_key WHERE owner_id = %s", [ada.owner]).fetchone()
    assert row is None
    with pytest.raises(PersonalDataError, match="their key is gone"):
        the_vault().person(ada.owner, row)


def test_the_access_log_is_only_written_to(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO personal_access (at, owner_id, role, actor, fields, purpose) VALUES"
        " (now(), gen_random_uuid(), 'operator', 'eve', '{name}', 'young'),"
        " (now() - interval '4 years', gen_random_uuid(), 'operator', 'eve', '{name}', 'old')"
    )
    with pytest.raises(psycopg.errors.RaiseException, match="only written to"):
        connection.execute("UPDATE personal_access SET actor = 'nobody'")
    with pytest.raises(psycopg.errors.RaiseException, match="only written to"):
        connection.execute("DELETE FROM personal_access")
    with pytest.raises(psycopg.errors.RaiseException, match="only written to"):
        connection.execute("TRUNCATE personal_access")
    connection.execute("DELETE FROM personal_access WHERE purpose = 'old'")
    assert connection.execute("SELECT purpose FROM personal_access").fetchall() == [("young",)]
