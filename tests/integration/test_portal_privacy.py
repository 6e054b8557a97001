"""What the portal shows of a customer and to whom, and an owner's copy of their data."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from ingest import registry
from ingest.database import Connection
from ingest.personal.access import accesses
from portal.access import Role, signin_token
from rules.booking import desk
from tests.browser.portal_scene import SECRET, Clock, make_scene, running_portal

pytestmark = pytest.mark.database
VIN = "WVWZZZ6RZHY123456"


@contextmanager
def signed_in(url: str, clock: Clock, role: Role, subject: UUID | None) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=20) as client:
        client.get("/signin", params={"token": signin_token(SECRET, role, subject, clock.now)})
        yield client


def test_who_sees_whom_and_what_is_logged(database_url: str, connection: Connection) -> None:
    scene, clock = make_scene(connection), Clock()
    view = desk.booking_view(connection, scene.booking)
    registry.update_vehicle(connection, view.vehicle_id, vin=VIN)
    desk.confirm(connection, scene.booking, clock.now)
    page = f"/workshops/{scene.workshop}/bookings/{scene.booking}"
    with running_portal(database_url, clock) as url:
        with signed_in(url, clock, "engineer", None) as client:
            shown = client.get(page).text
            assert view.owner_name not in shown
            assert VIN not in shown
            assert "A. B." in shown
            assert f"…{VIN[-6:]}" in shown
        assert accesses(connection, view.owner_id) == []

        with signed_in(url, clock, "workshop", scene.workshop) as client:
            shown = client.get(page).text
            assert view.owner_name in shown
            assert VIN in shown
            (entry,) = accesses(connection, view.owner_id)
            assert (entry.role, entry.actor, entry.fields) == ("workshop", str(scene.workshop), ["name", "vin"])

        with signed_in(url, clock, "owner", view.owner_id) as client:
            assert 'href="/my-data"' in client.get("/cars").text
            answer = client.get("/my-data")
            assert answer.headers["content-type"] == "application/zip"
            assert answer.headers["cache-control"] == "no-store"
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                assert view.owner_name in archive.read("owner.json").decode()
                assert archive.testzip() is None
        assert accesses(connection, view.owner_id, limit=1)[0].purpose == "export"

        desk.cancel(connection, scene.booking, clock.now)
        clock.now += timedelta(hours=1)
        with signed_in(url, clock, "workshop", scene.workshop) as client:
            shown = client.get(page).text
            assert view.owner_name not in shown
            assert VIN not in shown
        assert len(accesses(connection, view.owner_id)) == 2
