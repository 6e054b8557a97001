"""An owner's way in a real browser on a phone: from the message's link to the booked visit on the workshop's day."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from ingest.database import Connection
from portal.access import signin_token
from rules.booking import desk
from rules.booking.links import offer_token
from tests.browser.portal_scene import NOW, SECRET, Clock, Scene, make_scene, running_portal

pytestmark = [pytest.mark.browser, pytest.mark.database]


@dataclass
class Watched:
    """A page whose requests and console are watched."""

    page: Page
    foreign: list[str] = field(default_factory=list)  # requests that left the origin
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def scene(connection: Connection) -> Scene:
    return make_scene(connection)


@pytest.fixture
def origin(database_url: str, scene: Scene) -> Iterator[str]:
    with running_portal(database_url, Clock()) as url:
        yield url


@contextmanager
def window(browser: Browser, origin: str, *, width: int = 390, height: int = 844) -> Iterator[Watched]:
    """A fresh browser profile; at its end nothing may have left the origin and nothing may have been complained of."""
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB")
    watched = Watched(page=context.new_page())
    home = urlsplit(origin).netloc
    watched.page.on(
        "request", lambda request: None if urlsplit(request.url).netloc == home else watched.foreign.append(request.url)
    )
    watched.page.on("console", lambda message: watched.complaints.append(message.text))
    watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    try:
        yield watched
    finally:
        context.close()
    assert watched.foreign == []
    assert watched.complaints == []


def fits(page: Page) -> bool:
    """Whether nothing sticks out to the side."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def test_from_the_message_to_the_booked_visit_on_the_workshops_day(
    chromium: Browser, origin: str, scene: Scene, connection: Connection
) -> None:
    with window(chromium, origin) as phone:
        page = phone.page
        page.goto(f"{origin}/offer/{offer_token(SECRET, scene.booking, NOW)}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Brake pads worn (front left)")
        expect(page.get_by_role("heading", name="Held for you")).to_be_visible()
        expect(page.locator(".offers > li")).to_have_count(2)
        assert fits(page)
        slot = page.locator(".slot").inner_text()
        page.get_by_role("button", name="Confirm this slot").dblclick()
        expect(page.get_by_role("heading", name="Your visit is booked")).to_be_visible()
        expect(page.locator(".slot")).to_have_text(slot)
        with page.expect_download() as download:
            page.get_by_role("link", name="Add to calendar").click()
        assert download.value.suggested_filename == "wearcast-booking.ics"
        assert fits(page)
    assert desk.booking_view(connection, scene.booking).state == "confirmed"

    with window(chromium, origin) as workshop:
        page = workshop.page
        page.goto(f"{origin}/signin?token={signin_token(SECRET, 'workshop', scene.workshop, NOW)}")
        expect(page.get_by_role("heading", name="Monday 2 March 2026")).to_be_visible()
        page.get_by_role("link", name="Next").click()
        expect(page.get_by_role("heading", name="Tuesday 3 March 2026")).to_be_visible()
        expect(page.get_by_text("Blue Kona").locator("visible=true")).to_be_visible()
        assert fits(page)
        page.get_by_role("link", name="Brake pads").locator("visible=true").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Blue Kona")


def test_another_offer_can_be_taken_and_then_confirmed(chromium: Browser, origin: str, scene: Scene) -> None:
    with window(chromium, origin) as phone:
        page = phone.page
        page.goto(f"{origin}/offer/{offer_token(SECRET, scene.booking, NOW)}")
        other = page.locator(".offers > li").first
        workshop = other.locator("p").nth(1).inner_text().split(" (")[0]
        other.get_by_role("button", name="Take this instead").click()
        expect(page.get_by_role("status")).to_contain_text("now held for you")
        expect(page.locator(".slot-where")).to_contain_text(workshop)
        page.get_by_role("button", name="Confirm this slot").click()
        expect(page.locator(".slot-where")).to_contain_text(workshop)


@pytest.mark.parametrize("width", [360, 390, 1280])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_pages_fit_every_screen_in_both_languages(
    chromium: Browser, origin: str, scene: Scene, width: int, language: str
) -> None:
    with window(chromium, origin, width=width) as browser:
        page = browser.page
        page.goto(f"{origin}/signin?token={signin_token(SECRET, 'engineer', None, NOW)}")
        for path in (
            "/fleet",
            f"/vehicles/{scene.car}",
            f"/vehicles/{scene.other_car}",
            f"/workshops/{scene.workshop}/days/2026-03-03",
        ):
            page.goto(f"{origin}{path}?lang={language}")
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            assert fits(page), path


def test_a_chart_is_drawn_and_follows_the_dark_scheme(chromium: Browser, origin: str, scene: Scene) -> None:
    with window(chromium, origin) as browser:
        page = browser.page
        page.goto(f"{origin}/signin?token={signin_token(SECRET, 'owner', scene.owner, NOW)}")
        page.get_by_role("link", name="Blue Kona").click()
        chart = page.get_by_role("img", name="Drive battery over time")
        expect(chart).to_be_visible()
        line = chart.locator(".chart-line")
        light = line.evaluate("element => getComputedStyle(element).stroke")
        page.emulate_media(color_scheme="dark")
        dark = line.evaluate("element => getComputedStyle(element).stroke")
        assert light.startswith("rgb")
        assert light != dark
