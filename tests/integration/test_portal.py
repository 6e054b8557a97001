"""The portal over real HTTP and a real TimescaleDB: who sees what, and the whole life of an offer."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from psycopg.rows import scalar_row

from ingest.database import Connection
from portal import openapi
from portal.access import Role, signin_token
from portal.app import create_app
from portal.config import PortalConfig
from portal.errors import PortalConfigError
from portal.guard import guard_of, require_guards
from rules.booking import desk
from rules.booking.links import offer_token
from tests.browser.portal_scene import NOW, SECRET, Clock, Scene, make_scene, open_alert, running_portal

pytestmark = pytest.mark.database


@dataclass(frozen=True, kw_only=True)
class Portal:
    """A running portal, and browsers without a window for it."""

    url: str
    scene: Scene
    clock: Clock
    connection: Connection

    def visitor(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, follow_redirects=False, timeout=20)

    @contextmanager
    def signed_in(self, role: Role, subject: UUID | None = None) -> Iterator[httpx.Client]:
        token = signin_token(SECRET, role, subject, self.clock.now)
        with self.visitor() as client:
            answer = client.get("/signin", params={"token": token})
            assert answer.status_code == 303, answer.text
            yield client

    @property
    def offer(self) -> str:
        return f"/offer/{offer_token(SECRET, self.scene.booking)}"


@pytest.fixture
def portal(database_url: str, connection: Connection) -> Iterator[Portal]:
    scene, clock = make_scene(connection), Clock()
    with running_portal(database_url, clock) as url:
        yield Portal(url=url, scene=scene, clock=clock, connection=connection)


def form_token_of(html: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', html)
    assert found is not None, "the page has no form"
    return found[1]


def field(html: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    assert found is not None, f"the page has no field {name}"
    return unescape(found[1])


def state_of(portal: Portal, booking: object = None) -> str:
    with portal.connection.cursor(row_factory=scalar_row) as cursor:
        state = cursor.execute("SELECT state FROM booking WHERE id = %s", [booking or portal.scene.booking]).fetchone()
    assert isinstance(state, str)
    return state


def messages(portal: Portal, kind: str, event: str) -> int:
    with portal.connection.cursor(row_factory=scalar_row) as cursor:
        count = cursor.execute(
            "SELECT count(*) FROM outgoing WHERE kind = %s AND payload ->> 'event' = %s", [kind, event]
        ).fetchone()
    assert isinstance(count, int)
    return count


# Who may see what. For each route: status for a visitor, the owner, another owner, the workshop, another workshop and
# an engineer. A route that is not in this table fails the test.
_OPEN = (200, 200, 200, 200, 200, 200)
_LINK = _OPEN  # whoever holds the link
_FORBIDDEN_FORM = (403, 403, 403, 403, 403, 403)  # without the session's token no form is taken
ACCESS: dict[str, tuple[int, int, int, int, int, int]] = {
    "GET /": (303, 303, 303, 303, 303, 303),
    "GET /signin": _OPEN,
    "GET /healthz": _OPEN,
    "GET /static/style.css": _OPEN,
    "GET /static/icon.svg": _OPEN,
    "GET /fleet": (401, 403, 403, 403, 403, 200),
    "GET /cars": (401, 200, 200, 403, 403, 403),
    "GET /my-data": (401, 200, 200, 403, 403, 403),
    "GET /vehicles/{vehicle_id}": (401, 200, 404, 403, 403, 200),
    "GET /offer/{token}": _LINK,
    "GET /offer/{token}/booking.ics": (404, 404, 404, 404, 404, 404),  # nothing is confirmed yet
    "GET /bookings/{booking_id}": (401, 200, 404, 403, 403, 403),
    "GET /bookings/{booking_id}/booking.ics": (401, 404, 404, 403, 403, 403),
    "GET /workshops/{workshop_id}": (401, 403, 403, 303, 404, 303),
    "GET /workshops/{workshop_id}/days/{day}": (401, 403, 403, 200, 404, 200),
    "GET /workshops/{workshop_id}/bookings/{booking_id}": (401, 403, 403, 404, 404, 404),  # only held: not theirs yet
    "GET /api/v1/fleet": (401, 200, 200, 403, 403, 200),
    "GET /api/v1/vehicles/{vehicle_id}": (401, 200, 404, 403, 403, 200),
    "GET /api/v1/bookings/{booking_id}": (401, 200, 404, 404, 404, 200),
    "GET /api/v1/workshops/{workshop_id}/days/{day}": (401, 403, 403, 200, 404, 200),
    "POST /signout": _FORBIDDEN_FORM,
    **{f"POST /offer/{{token}}/{act}": _FORBIDDEN_FORM for act in ("confirm", "decline", "cancel", "move", "again")},
    # An unsigned visitor may be told either; nobody else gets further than the missing token.
    **{
        f"POST /bookings/{{booking_id}}/{act}": (401, 403, 403, 403, 403, 403)
        for act in ("confirm", "decline", "cancel", "move", "again")
    },
    "POST /workshops/{workshop_id}/bookings/{booking_id}/report": _FORBIDDEN_FORM,
    "POST /vehicles/{vehicle_id}/services": _FORBIDDEN_FORM,
    "POST /vehicles/{vehicle_id}/suspicions/{event_id}": _FORBIDDEN_FORM,
}


def routes() -> set[str]:
    app = create_app(PortalConfig(database_url="", secret=SECRET, portal_url="http://127.0.0.1:8080"))
    return {
        f"{method} {route.path}"
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in (route.methods or set()) - {"HEAD"}
    }


def test_every_route_is_in_the_table_of_who_may_see_what() -> None:
    assert routes() == set(ACCESS)


def test_every_route_answers_each_role_as_the_table_says(portal: Portal) -> None:
    scene = portal.scene
    other_workshop = next(number for number in scene.workshops if number != scene.workshop)
    wrong = []
    stack = ExitStack()
    people = {
        "visitor": stack.enter_context(portal.visitor()),
        "owner": stack.enter_context(portal.signed_in("owner", scene.owner)),
        "other owner": stack.enter_context(portal.signed_in("owner", scene.other_owner)),
        "workshop": stack.enter_context(portal.signed_in("workshop", scene.workshop)),
        "other workshop": stack.enter_context(portal.signed_in("workshop", other_workshop)),
        "engineer": stack.enter_context(portal.signed_in("engineer")),
    }
    for route, expected in ACCESS.items():
        method, path = route.split()
        address = path.format(
            vehicle_id=scene.car,
            booking_id=scene.booking,
            workshop_id=scene.workshop,
            day="2026-03-03",
            event_id=1,
            token=offer_token(SECRET, scene.booking),
        )
        for (who, client), status in zip(people.items(), expected, strict=True):
            answer = client.request(method, address, data={} if method == "POST" else None)
            if answer.status_code != status:
                wrong.append(f"{route} for {who}: {answer.status_code} instead of {status}")
    stack.close()
    assert not wrong, "\n".join(wrong)
    assert state_of(portal) == "proposed"


def test_a_foreign_number_looks_like_one_that_does_not_exist(portal: Portal) -> None:
    with portal.signed_in("owner", portal.scene.owner) as client:
        foreign = client.get(f"/vehicles/{portal.scene.other_car}")
        unknown = client.get(f"/vehicles/{uuid4()}")
        nonsense = client.get("/vehicles/not-a-number")
    bodies = [re.sub(r"[0-9a-f]{64}", "", answer.text) for answer in (foreign, unknown, nonsense)]
    assert [answer.status_code for answer in (foreign, unknown, nonsense)] == [404, 404, 404]
    assert bodies[0] == bodies[1] == bodies[2]


def test_a_route_without_a_guard_does_not_start() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    router = APIRouter()

    @router.get("/open")
    def everybody() -> str:
        return "hello"

    app.router.routes.extend(router.routes)
    with pytest.raises(PortalConfigError, match="/open has no guard"):
        require_guards(app)


def test_every_route_has_a_guard() -> None:
    app = create_app(PortalConfig(database_url="", secret=SECRET, portal_url="http://127.0.0.1:8080"))
    assert app.routes
    assert all(isinstance(route, APIRoute) and guard_of(route) is not None for route in app.routes)


def test_every_answer_carries_the_security_headers(portal: Portal) -> None:
    with portal.visitor() as client:
        for path in ("/signin", "/fleet", "/nowhere", "/static/style.css", "/healthz"):
            headers = client.get(path).headers
            assert "default-src 'self'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
        cookie = client.get("/signin?lang=zh").headers.get_list("set-cookie")
    assert all("HttpOnly" in entry and "SameSite=lax" in entry for entry in cookie)


def test_a_link_signs_in_until_it_is_too_old(portal: Portal) -> None:
    token = signin_token(SECRET, "engineer", None, NOW)
    with portal.visitor() as client:
        assert client.get("/signin", params={"token": token}).headers["location"] == "/fleet"
        assert client.get("/fleet").status_code == 200
        portal.clock.now = NOW + timedelta(hours=2)
        assert client.get("/signin", params={"token": token}).status_code == 410
        assert client.get("/signin", params={"token": token + "x"}).status_code == 404
        assert client.get("/fleet").status_code == 200
        portal.clock.now = NOW + timedelta(hours=13)
        assert client.get("/fleet").status_code == 401


def test_a_messages_link_leads_to_the_car_and_to_no_other_place(portal: Portal) -> None:
    token = signin_token(SECRET, "owner", portal.scene.owner, NOW)
    with portal.visitor() as client:
        car = {"token": token, "vehicle": str(portal.scene.car)}
        page = client.get(client.get("/signin", params=car).headers["location"])
        assert page.status_code == 200
        assert str(page.url).endswith(f"/vehicles/{portal.scene.car}")
        elsewhere = {"token": token, "vehicle": "//elsewhere.example"}
        assert client.get("/signin", params=elsewhere).status_code in {400, 404, 422}
        foreign = client.get("/signin", params={"token": token, "vehicle": str(uuid4())}).headers["location"]
        assert client.get(foreign).status_code == 404


def test_a_link_for_somebody_who_is_gone_opens_nothing(portal: Portal) -> None:
    with portal.visitor() as client:
        token = signin_token(SECRET, "owner", uuid4(), NOW)
        assert client.get("/signin", params={"token": token}).status_code == 404


def test_signing_out_ends_the_session(portal: Portal) -> None:
    with portal.signed_in("engineer") as client:
        token = form_token_of(client.get("/fleet").text)
        assert client.post("/signout", data={"form_token": token}).status_code == 303
        assert client.get("/fleet").status_code == 401


def test_the_fleet_and_a_vehicle_show_what_is_stored(portal: Portal) -> None:
    with portal.signed_in("engineer") as client:
        fleet = client.get("/fleet").text
        found = client.get("/fleet", params={"q": "kona"}).text
        vehicle = client.get(f"/vehicles/{portal.scene.car}").text
        polo = client.get(f"/vehicles/{portal.scene.other_car}").text
    assert "Blue Kona" in fleet
    assert "White Polo" in fleet
    assert "White Polo" not in found
    assert vehicle.count('class="chart"') >= 6  # four wheels, two batteries
    assert "Read from the car" in vehicle
    assert "Beside it: Estimated" in vehicle
    assert "Expected to reach its limit of 80 %" in vehicle
    assert "P0301" in polo
    assert "isfires" in polo  # "Cylinder 1 misfires", in words


def test_an_owner_reads_in_their_language_unless_they_choose(portal: Portal) -> None:
    with portal.signed_in("owner", portal.scene.other_owner) as client:
        page = client.get(f"/vehicles/{portal.scene.other_car}").text
        assert "健康与预测" in page
        assert "Asia/Shanghai" in page
        assert "Health and forecast" in client.get(f"/vehicles/{portal.scene.other_car}?lang=en").text
        assert "Health and forecast" in client.get(f"/vehicles/{portal.scene.other_car}").text


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


def test_an_offers_link_opens_that_offer_and_nothing_else(portal: Portal) -> None:
    with portal.visitor() as client:
        assert client.get(portal.offer).status_code == 200
        assert client.get(f"/vehicles/{portal.scene.car}").status_code == 401
        assert client.get(f"/bookings/{portal.scene.booking}").status_code == 401
        assert client.get("/offer/forged").status_code == 404
        assert client.get(f"/offer/{offer_token('x' * 32, portal.scene.booking)}").status_code == 404
        assert client.get(f"/offer/{offer_token(SECRET, uuid4())}").status_code == 404


def test_what_owners_write_is_shown_as_text(portal: Portal) -> None:
    portal.connection.execute("UPDATE vehicle SET label = '<script>x</script>' WHERE id = %s", [portal.scene.car])
    with portal.signed_in("engineer") as client:
        pages = [client.get(path).text for path in ("/fleet", f"/vehicles/{portal.scene.car}")]
    assert all("<script" not in page and "&lt;script&gt;" in page for page in pages)


def test_the_api_says_what_the_pages_say(portal: Portal) -> None:
    with portal.signed_in("owner", portal.scene.owner) as client:
        fleet = client.get("/api/v1/fleet").json()
        vehicle = client.get(f"/api/v1/vehicles/{portal.scene.car}").json()
        booking = client.get(f"/api/v1/bookings/{portal.scene.booking}").json()
        foreign = client.get(f"/api/v1/vehicles/{portal.scene.other_car}")
    assert [entry["label"] for entry in fleet] == ["Blue Kona"]
    battery = next(entry for entry in vehicle["health"] if entry["quantity"] == "traction_battery_soh")
    assert battery["source"] == "ecu"
    assert battery["forecast"]["limit"] == 80
    assert booking["state"] == "proposed"
    assert foreign.json() == {"error": "not_found", "title": "Nothing here"}


def test_the_openapi_document_is_that_of_the_app() -> None:
    assert openapi.PATH.read_text(encoding="utf-8") == openapi.as_text(), "run: python -m portal.openapi"
    assert set(json.loads(openapi.as_text())["paths"]) == {
        path for method, path in (route.split() for route in ACCESS) if path.startswith("/api/") or path == "/healthz"
    }


def test_the_log_names_routes_and_no_tokens(portal: Portal, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), portal.visitor() as client:
        client.get(portal.offer)
        client.get("/signin", params={"token": signin_token(SECRET, "engineer", None, NOW)})
    lines = [record.getMessage() for record in caplog.records if record.name == "wearcast.portal"]
    assert "GET /offer/{token} 200" in lines
    assert "GET /signin 303" in lines
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]  # httpx: the client
    assert not [line for line in ours if portal.offer in line or "token=" in line]


def test_an_alert_without_a_booking_is_shown(portal: Portal) -> None:
    open_alert(portal.connection, portal.scene.other_car, rule="oil_life_low", subject="", job=None, severity="urgent")
    with portal.signed_in("owner", portal.scene.other_owner) as client:
        assert "紧急" in client.get("/cars").text
