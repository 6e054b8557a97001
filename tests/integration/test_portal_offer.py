"""The whole life of an offer through the portal, over real HTTP and with a real TimescaleDB."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest

from ingest.database import connect
from rules.booking import desk
from tests.browser.portal_scene import NOW
from tests.integration.portal_support import Portal, field, form_token_of, messages, state_of
from tests.integration.watch_support import eventually

pytestmark = pytest.mark.database


def test_confirming_twice_at_once_is_one_confirmation(portal: Portal) -> None:
    with portal.visitor() as client:
        page = client.get(portal.offer).text
        form = {"form_token": form_token_of(page), "slot": field(page, "slot")}
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: client.post(f"{portal.offer}/confirm", data=form), range(4)))
        assert [answer.status_code for answer in answers] == [303] * 4
        after = client.get(answers[0].headers["location"])
        calendar = client.get(f"{portal.offer}/booking.ics")
    assert "Your visit is booked" in after.text
    assert state_of(portal) == "confirmed"
    assert messages(portal, "workshop_invitation", "confirmed") == 1
    assert calendar.headers["content-type"].startswith("text/calendar")
    assert "attachment" in calendar.headers["content-disposition"]


def test_a_confirmation_of_another_slot_than_the_one_seen_is_refused(portal: Portal) -> None:
    with portal.visitor() as client:
        page = client.get(portal.offer).text
        offer = field(page, "offer")
        seen = {"form_token": form_token_of(page), "slot": field(page, "slot")}
        assert client.post(f"{portal.offer}/move", data={**seen, "offer": offer}).status_code == 303
        answer = client.post(f"{portal.offer}/confirm", data=seen)
    assert answer.status_code == 409
    assert "Another slot is held for you" in answer.text
    assert state_of(portal) == "proposed"


def test_a_form_of_another_session_changes_nothing(portal: Portal) -> None:
    with portal.visitor() as mine, portal.visitor() as other:
        stolen = form_token_of(other.get(portal.offer).text)
        mine.get(portal.offer)
        answer = mine.post(f"{portal.offer}/confirm", data={"form_token": stolen})
    assert answer.status_code == 403
    assert "Nothing was changed" in answer.text
    assert state_of(portal) == "proposed"


def test_a_hold_that_ran_out_while_the_page_was_open_is_explained_with_new_offers(portal: Portal) -> None:
    with portal.visitor() as client:
        form = {"form_token": form_token_of(client.get(portal.offer).text)}
        portal.clock.now = NOW + timedelta(hours=23, minutes=30)  # the slot begins after 22 h
        assert "no longer held" in client.get(portal.offer).text
        answer = client.post(f"{portal.offer}/confirm", data=form)
        assert answer.status_code == 303
        page = client.get(answer.headers["location"]).text
    assert "The hold had run out before you confirmed" in page
    assert "Held for you" in page
    assert state_of(portal) == "expired"
    view = desk.booking_of_alert(portal.connection, portal.scene.alert)
    assert view is not None
    assert view.id != portal.scene.booking
    assert view.state == "proposed"


def test_declining_gives_the_slot_back_and_minds_can_change(portal: Portal) -> None:
    with portal.visitor() as client:
        form = {"form_token": form_token_of(client.get(portal.offer).text)}
        assert client.post(f"{portal.offer}/decline", data=form).status_code == 303
        assert state_of(portal) == "declined"
        portal.clock.now = NOW + timedelta(minutes=1)
        answer = client.post(f"{portal.offer}/again", data=form)
        assert "Here are new offers" in client.get(answer.headers["location"]).text


def test_a_free_time_can_be_taken_and_a_taken_one_not(portal: Portal) -> None:
    with portal.visitor() as client:
        page = client.get(portal.offer).text
        form = {"form_token": form_token_of(page)}
        start = re.findall(r'name="start" value="([^"]+)"', page)[3]
        assert client.post(f"{portal.offer}/move", data={**form, "start": start}).status_code == 303
        moved = desk.booking_view(portal.connection, portal.scene.booking)
        assert moved.period.start.isoformat() == start
        night = client.post(f"{portal.offer}/move", data={**form, "start": "2026-03-04T02:00:00+00:00"})
        naive = client.post(f"{portal.offer}/move", data={**form, "start": "2026-03-04T09:00:00"})
    assert night.status_code == 409
    assert "Nothing was changed" in night.text
    assert naive.status_code == 400


def test_a_confirmed_visit_can_be_cancelled(portal: Portal) -> None:
    desk.confirm(portal.connection, portal.scene.booking, NOW)
    with portal.signed_in("owner", portal.scene.owner) as client:
        path = f"/bookings/{portal.scene.booking}"
        form = {"form_token": form_token_of(client.get(path).text)}
        refused = client.post(f"{path}/decline", data=form)
        assert refused.status_code == 409
        assert "booked already" in refused.text
        assert client.post(f"{path}/cancel", data=form).status_code == 303
    assert state_of(portal) == "cancelled"
    assert messages(portal, "workshop_invitation", "cancelled") == 1


def test_the_workshop_sees_the_car_once_it_is_booked_and_reports_the_work(portal: Portal) -> None:
    day = f"/workshops/{portal.scene.workshop}/days/2026-03-03"
    path = f"/workshops/{portal.scene.workshop}/bookings/{portal.scene.booking}"
    with portal.signed_in("workshop", portal.scene.workshop) as client:
        held = client.get(day).text
        assert "Held, owner is asked" in held
        assert "Blue Kona" not in held
        desk.confirm(portal.connection, portal.scene.booking, NOW)
        assert "Blue Kona" in client.get(day).text
        early = client.get(path).text
        assert "Report what was done" not in early
        form = {"form_token": form_token_of(early), "report": "Pads and discs replaced."}
        assert client.post(f"{path}/report", data=form).status_code == 409
        portal.clock.now = NOW + timedelta(days=1)
        assert client.post(f"{path}/report", data={**form, "report": " "}).status_code == 400
        assert client.post(f"{path}/report", data=form).status_code == 303
        assert client.post(f"{path}/report", data=form).status_code == 303  # sent twice
        assert "Pads and discs replaced." in client.get(path).text
    assert state_of(portal) == "completed"
    assert messages(portal, "owner_message", "completed") == 1
    with portal.signed_in("engineer") as engineer:
        token = form_token_of(engineer.get(path).text)
        assert engineer.post(f"{path}/report", data={"form_token": token, "report": "x"}).status_code == 403


def test_a_connection_that_is_cut_leaves_unsaid_what_was_done_and_sending_again_does_nothing_twice(
    portal: Portal, database_url: str
) -> None:
    who = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with portal.visitor() as client, ThreadPoolExecutor(1) as pool, closing(connect(database_url)) as other:
        form = {"form_token": form_token_of(client.get(portal.offer).text)}
        other.execute("LOCK TABLE outgoing IN ACCESS EXCLUSIVE MODE")
        asked = pool.submit(client.post, f"{portal.offer}/confirm", data=form)
        eventually(lambda: portal.connection.execute(f"SELECT {who}").fetchone() is not None, "it waits for the lock")
        portal.connection.execute(f"SELECT pg_terminate_backend(pid) {who}")
        answer = asked.result(60)
        other.rollback()
        assert answer.status_code == 503
        assert "may or may not have been" in answer.text
        assert "Nothing was changed" not in answer.text
        again = [client.post(f"{portal.offer}/confirm", data=form).status_code for _ in range(2)]
    assert again == [303, 303]
    assert state_of(portal) == "confirmed"
    assert messages(portal, "workshop_invitation", "confirmed") == 1
