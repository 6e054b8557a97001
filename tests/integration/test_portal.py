"""What the portal's pages and its API show of what is stored, over real HTTP and with a real TimescaleDB."""

import pytest

from tests.browser.portal_scene import open_alert
from tests.integration.portal_support import Portal

pytestmark = pytest.mark.database


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


def test_an_alert_without_a_booking_is_shown(portal: Portal) -> None:
    open_alert(portal.connection, portal.scene.other_car, rule="oil_life_low", subject="", job=None, severity="urgent")
    with portal.signed_in("owner", portal.scene.other_owner) as client:
        assert "紧急" in client.get("/cars").text
