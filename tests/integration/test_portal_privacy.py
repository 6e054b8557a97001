"""What the portal shows of a customer and to whom, and an owner's copy of their data."""

import io
import zipfile
from datetime import timedelta

import pytest

from ingest import registry
from ingest.personal.access_log import accesses
from rules.booking import desk
from tests.integration.portal_support import Portal

pytestmark = pytest.mark.database
VIN = "WVWZZZ6RZHY123456"


def test_who_sees_whom_and_what_is_logged(portal: Portal) -> None:
    connection, scene, clock = portal.connection, portal.scene, portal.clock
    view = desk.booking_view(connection, scene.booking)
    registry.update_vehicle(connection, view.vehicle_id, vin=VIN)
    desk.confirm(connection, scene.booking, clock.now)
    page = f"/workshops/{scene.workshop}/bookings/{scene.booking}"
    with portal.signed_in("engineer") as client:
        shown = client.get(page).text
        assert view.owner_name not in shown
        assert VIN not in shown
        assert "A. B." in shown
        assert f"…{VIN[-6:]}" in shown
    assert accesses(connection, view.owner_id) == []

    with portal.signed_in("workshop", scene.workshop) as client:
        shown = client.get(page).text
        assert view.owner_name in shown
        assert VIN in shown
        (entry,) = accesses(connection, view.owner_id)
        assert (entry.role, entry.actor, entry.fields) == ("workshop", str(scene.workshop), ["name", "vin"])

    with portal.signed_in("owner", view.owner_id) as client:
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
    with portal.signed_in("workshop", scene.workshop) as client:
        shown = client.get(page).text
        assert view.owner_name not in shown
        assert VIN not in shown
    assert len(accesses(connection, view.owner_id)) == 2
