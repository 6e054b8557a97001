"""Work on a car through the portal: a workshop's report, an owner's word, an answer to a suspicion; how it is shown."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg.types.json import Jsonb

from ingest import registry
from ingest.outbound import services
from ingest.outbound.services import StoredService
from rules.booking import desk
from tests.browser.portal_scene import NOW
from tests.integration.portal_support import Portal, form_token_of
from tests.integration.service_support import a_record, keep

pytestmark = pytest.mark.database


def stored(portal: Portal) -> list[StoredService]:
    return services.services(portal.connection, portal.scene.car)


def suspect(portal: Portal, quantity: str = "pad_wear", position: str = "Row1", *, days_ago: int = 3) -> int:
    data = {"quantity": quantity, "position": position, "certainty": 0.87, "why": "<b>clean"}
    row = portal.connection.execute(
        "INSERT INTO vehicle_event (vehicle_id, time, kind, data) VALUES (%s, %s, %s, %s) RETURNING id",
        [portal.scene.car, NOW - timedelta(days=days_ago), "service.suspected", Jsonb(data)],
    ).fetchone()
    assert row is not None
    return int(row[0])


# The workshop's report


@pytest.fixture
def at_workshop(portal: Portal) -> Iterator[tuple[httpx.Client, str, dict[str, str]]]:
    """A workshop before the form of a visit that is due, the address of the report, and its first fields."""
    desk.confirm(portal.connection, portal.scene.booking, NOW)
    portal.clock.now = NOW + timedelta(days=1)
    path = f"/workshops/{portal.scene.workshop}/bookings/{portal.scene.booking}"
    with portal.signed_in("workshop", portal.scene.workshop) as client:
        token = form_token_of(client.get(path).text)
        yield client, path, {"form_token": token, "report": "Pads replaced."}


def test_a_report_says_what_was_done_to_which_part(
    portal: Portal, at_workshop: tuple[httpx.Client, str, dict[str, str]]
) -> None:
    client, path, form = at_workshop
    done = {
        **form,
        "done": ["pads_front", "tire_mended_Row2.Left", "polished"],
        "lining_Row1": "11,5",
        "lining_Row2.Right": " 6.5 ",
        "traction_battery_soh": "91",
    }
    assert client.post(f"{path}/report", data=done).status_code == 303
    assert client.post(f"{path}/report", data=done).status_code == 303  # sent twice
    told = [
        (entry.quantity, entry.action, entry.position, entry.value, entry.unit) for entry in reversed(stored(portal))
    ]
    assert told == [
        ("pad_wear", "replaced", "Row1", None, ""),
        ("tire_pressure_loss", "replaced", "Row2.Left", None, ""),
        ("pad_wear", "measured", "Row1", 11.5, "mm"),
        ("pad_wear", "measured", "Row2.Right", 6.5, "mm"),
        ("traction_battery_soh", "measured", "", 91.0, "percent"),
    ]
    assert {(entry.by_role, entry.time) for entry in stored(portal)} == {("workshop", portal.clock.now)}


@pytest.mark.parametrize(
    ("language", "number", "limits"),
    [
        ("en", "“thin” is not a number. Write it like 6.5", "65 mm cannot be. Give 0.5 to 25"),
        ("zh", "“thin”不是数字", "65 mm 不合理，请填写 0.5 至 25"),
    ],
)
def test_what_cannot_be_is_told_back_and_nothing_is_lost_of_the_form(
    portal: Portal,
    at_workshop: tuple[httpx.Client, str, dict[str, str]],
    language: str,
    number: str,
    limits: str,
) -> None:
    client, path, form = at_workshop
    wrong = {**form, "done": ["oil_changed"], "lining_Row1": "thin", "lining_Row2": "65"}
    answer = client.post(f"{path}/report?lang={language}", data=wrong)
    assert answer.status_code == 400
    assert number in answer.text
    assert limits in answer.text
    assert 'value="oil_changed" checked' in answer.text
    assert 'name="lining_Row2" value="65"' in answer.text
    assert "Pads replaced." in answer.text
    assert stored(portal) == []
    assert desk.booking_view(portal.connection, portal.scene.booking).state == "confirmed"


def test_what_is_written_into_a_number_is_shown_as_text(at_workshop: tuple[httpx.Client, str, dict[str, str]]) -> None:
    client, path, form = at_workshop
    answer = client.post(f"{path}/report", data={**form, "lining_Row1": '"><script>'})
    assert answer.status_code == 400
    assert "<script" not in answer.text


# The owner's word


def test_an_owner_tells_what_was_done_and_sees_how_far_it_came(portal: Portal) -> None:
    path = f"/vehicles/{portal.scene.car}"
    with portal.signed_in("owner", portal.scene.owner) as client:
        form = {"form_token": form_token_of(client.get(path).text)}
        told = {**form, "what": "low_voltage_battery", "day": "2026-02-27"}
        answer = client.post(f"{path}/services", data=told)
        assert answer.status_code == 303
        page = client.get(answer.headers["location"]).text
        assert "as soon as the car has heard of it" in page
        assert "12 V battery replaced" in page
        assert "on its way to the car" in page
        client.post(f"{path}/services", data={**form, "what": "oil_changed", "day": "2026-03-02"})
        today, before = stored(portal)
        assert (today.quantity, today.time, today.by_role) == ("oil_life", NOW, "owner")
        assert (before.quantity, before.action) == ("low_voltage_battery_health", "replaced")
        assert before.time == datetime(2026, 2, 27, 11, tzinfo=UTC)  # noon in Berlin
        portal.connection.execute("UPDATE service_record SET applied_at = now() WHERE id = %s", [today.id])
        portal.connection.execute("UPDATE service_record SET refused_reason = '<i>no' WHERE id = %s", [before.id])
        page = client.get(path).text
    assert "taken into account" in page
    assert "not taken: &lt;i&gt;no" in page


def test_an_owners_form_sent_twice_is_one_record(portal: Portal) -> None:
    path = f"/vehicles/{portal.scene.car}"
    with portal.signed_in("owner", portal.scene.owner) as client:
        form = {"form_token": form_token_of(client.get(path).text), "what": "oil_changed", "day": "2026-03-02"}
        for _ in range(2):
            assert client.post(f"{path}/services", data=form).status_code == 303
            portal.clock.now += timedelta(seconds=3)
        assert len(stored(portal)) == 1
        client.post(f"{path}/services", data={**form, "day": "2026-03-01"})
        client.post(f"{path}/services", data={**form, "what": "pads_front"})
    assert len(stored(portal)) == 3


def test_a_suspicion_of_a_clock_that_is_ahead_is_confirmed_as_of_now(portal: Portal) -> None:
    path = f"/vehicles/{portal.scene.car}"
    event = suspect(portal, days_ago=-30)
    with portal.signed_in("owner", portal.scene.owner) as client:
        form = {"form_token": form_token_of(client.get(path).text), "answer": "yes"}
        client.post(f"{path}/suspicions/{event}", data=form)
    assert [entry.time for entry in stored(portal)] == [NOW]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"what": "", "day": "2026-03-01"}, "Choose what was done"),
        ({"what": "polished", "day": "2026-03-01"}, "Choose what was done"),
        ({"what": "oil_changed", "day": "2026-03-03"}, "not in the future"),
        ({"what": "oil_changed", "day": "2025-01-01"}, "not more than a year ago"),
        ({"what": "oil_changed", "day": "yesterday"}, "Give the day"),
        ({}, "Choose what was done"),
    ],
)
def test_what_an_owner_cannot_mean_is_told_back(portal: Portal, fields: dict[str, str], told: str) -> None:
    path = f"/vehicles/{portal.scene.car}"
    with portal.signed_in("owner", portal.scene.owner) as client:
        form = {"form_token": form_token_of(client.get(path).text), **fields}
        answer = client.post(f"{path}/services", data=form)
    assert answer.status_code == 400
    assert told in answer.text
    assert stored(portal) == []


def test_nobody_else_tells_of_the_car(portal: Portal) -> None:
    path = f"/vehicles/{portal.scene.car}"
    event = suspect(portal)
    told = {"what": "oil_changed", "day": "2026-03-01", "answer": "yes"}
    with portal.signed_in("owner", portal.scene.other_owner) as other:
        form = {"form_token": form_token_of(other.get("/cars").text), **told}
        assert other.post(f"{path}/services", data=form).status_code == 404
        assert other.post(f"{path}/suspicions/{event}", data=form).status_code == 404
    with portal.signed_in("engineer") as engineer:  # by the command line, with their reason
        form = {"form_token": form_token_of(engineer.get(path).text), **told}
        assert engineer.post(f"{path}/services", data=form).status_code == 403
        assert engineer.post(f"{path}/suspicions/{event}", data=form).status_code == 403
        assert "Yes, that was done" not in engineer.get(path).text
    with portal.signed_in("workshop", portal.scene.workshop) as workshop:
        day = f"/workshops/{portal.scene.workshop}/days/2026-03-03"
        form = {"form_token": form_token_of(workshop.get(day).text), **told}
        assert workshop.post(f"{path}/services", data=form).status_code == 403
    assert stored(portal) == []


# Suspicions


def test_a_suspicion_is_shown_with_its_certainty_and_a_yes_counts_once(portal: Portal) -> None:
    path = f"/vehicles/{portal.scene.car}"
    event = suspect(portal)
    with portal.signed_in("owner", portal.scene.owner) as client:
        page = client.get(path).text
        assert "The brake pads (Front axle) seem to have been replaced around 27 February 2026." in page
        assert "87 % sure" in page
        assert "<b>clean" not in page
        form = {"form_token": form_token_of(page), "answer": "yes"}
        answers = [client.post(f"{path}/suspicions/{event}", data=form) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [303, 303]
        page = client.get(answers[0].headers["location"]).text
        assert "that is noted" in page
        assert "seem to have been replaced" not in page
        assert "刹车片" in client.get(f"{path}?lang=zh").text
    (record,) = stored(portal)
    assert (record.quantity, record.position, record.action) == ("pad_wear", "Row1", "replaced")
    assert record.time == NOW - timedelta(days=3)


def test_a_no_changes_nothing_and_is_not_asked_again(portal: Portal) -> None:
    path = f"/vehicles/{portal.scene.car}"
    event = suspect(portal, "oil_life", "")
    with portal.signed_in("owner", portal.scene.owner) as client:
        form = {"form_token": form_token_of(client.get(path).text)}
        assert client.post(f"{path}/suspicions/{event}", data={**form, "answer": "perhaps"}).status_code == 404
        assert "The engine oil seems to have been changed" in client.get(path).text
        assert client.post(f"{path}/suspicions/{event}", data={**form, "answer": "no"}).status_code == 303
        assert "The engine oil seems to have been changed" not in client.get(path).text
        assert client.post(f"{path}/suspicions/{event}", data={**form, "answer": "yes"}).status_code == 303
    assert stored(portal) == []


def test_another_cars_suspicion_is_not_answered_here(portal: Portal) -> None:
    event = suspect(portal)
    portal.connection.execute("UPDATE vehicle_event SET vehicle_id = %s", [portal.scene.other_car])
    path = f"/vehicles/{portal.scene.car}"
    with portal.signed_in("owner", portal.scene.owner) as client:
        form = {"form_token": form_token_of(client.get(path).text), "answer": "yes"}
        client.post(f"{path}/suspicions/{event}", data=form)
    assert stored(portal) == []
    assert portal.connection.execute("SELECT FROM suspicion_answer").fetchall() == []


# What is shown


def test_the_page_says_what_an_estimate_rests_on_and_what_limits_it(portal: Portal) -> None:
    def of_battery(measurements: int, limited_by: str) -> str:
        portal.connection.execute(
            "UPDATE vehicle_state SET version = version + 1, estimates = (SELECT jsonb_object_agg(key, value ||"
            " %s::jsonb) FROM jsonb_each(estimates)) WHERE vehicle_id = %s",
            [Jsonb({"measurements": measurements, "limited_by": limited_by}), portal.scene.car],
        )
        with portal.signed_in("engineer") as client:
            return client.get(f"/vehicles/{portal.scene.car}").text

    assert "from 23 charges" in (page := of_battery(23, "flat_voltage"))
    assert "hardly shows its charge by its voltage" in page
    assert "from one charge" in of_battery(1, "")
    assert "What keeps it uncertain" not in of_battery(1, "")
    assert "What keeps it uncertain: sun_spots" in of_battery(2, "sun_spots")
    assert "not measured yet" in of_battery(0, "")


def test_the_battery_is_held_against_euro_7(portal: Portal) -> None:
    path = f"/vehicles/{portal.scene.car}"
    with portal.signed_in("owner", portal.scene.owner) as client:
        without = client.get(path).text
        assert "Battery durability (Euro 7)" in without
        registry.update_vehicle(
            portal.connection, portal.scene.car, in_service_since=(NOW - timedelta(days=6 * 365)).date()
        )
        assert "At least 72 % are required up to 8 years or 160,000 km" in client.get(path).text
        answer = client.get(f"/api/v1{path}").json()
        assert (answer["durability"]["required"], answer["durability"]["category"]) == (72, "M1")
        registry.update_vehicle(
            portal.connection, portal.scene.car, in_service_since=(NOW - timedelta(days=9 * 365)).date()
        )
        assert "nothing is required any more" in client.get(path).text
        assert client.get(f"/api/v1{path}").json()["durability"] is None
    with portal.signed_in("owner", portal.scene.other_owner) as client:
        assert "欧 7" not in client.get(f"/vehicles/{portal.scene.other_car}").text  # no traction battery


def test_the_api_gives_the_services_with_their_state(portal: Portal) -> None:
    keep(portal.connection, portal.scene.car, a_record(NOW), now=NOW)
    with portal.signed_in("owner", portal.scene.owner) as client:
        (entry,) = client.get(f"/api/v1/vehicles/{portal.scene.car}").json()["services"]
    assert (entry["quantity"], entry["action"], entry["state"], entry["by"]) == (
        "oil_life", "replaced", "pending", "workshop",
    )  # fmt: skip
