"""The portal over real HTTP: who sees what, how one signs in and out, and what its log and its answers give away."""

import json
import re
from contextlib import ExitStack
from datetime import timedelta
from uuid import uuid4

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from prometheus_client import REGISTRY
from psycopg.errors import ReadOnlySqlTransaction

from portal import openapi
from portal.access import signin_token
from portal.app import create_app
from portal.config import PortalConfig
from portal.errors import PortalConfigError
from portal.guard import guard_of, require_guards
from rules.booking.links import offer_token
from tests.browser.portal_scene import NOW, SECRET
from tests.integration.portal_support import Portal, form_token_of, state_of

pytestmark = pytest.mark.database

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
            token=offer_token(SECRET, scene.booking, NOW),
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


def test_an_offers_link_opens_that_offer_and_nothing_else(portal: Portal) -> None:
    with portal.visitor() as client:
        assert client.get(portal.offer).status_code == 200
        assert client.get(f"/vehicles/{portal.scene.car}").status_code == 401
        assert client.get(f"/bookings/{portal.scene.booking}").status_code == 401
        assert client.get("/offer/forged").status_code == 404
        assert client.get(f"/offer/{offer_token('x' * 32, portal.scene.booking, NOW)}").status_code == 404
        assert client.get(f"/offer/{offer_token(SECRET, uuid4(), NOW)}").status_code == 404


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


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("a bug"), 500), (ReadOnlySqlTransaction(), 503)])
def test_a_request_that_fails_is_counted_as_one(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    def counted() -> float:
        return REGISTRY.get_sample_value("wearcast_portal_requests_total", {"route": "fleet", "status": "5xx"}) or 0.0

    before = counted()
    with portal.signed_in("engineer") as client:
        monkeypatch.setattr("portal.pages.fleet.rows_of", fail)
        assert client.get("/fleet").status_code == status
    assert counted() == before + 1
