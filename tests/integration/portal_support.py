"""A running portal for tests, browsers without a window for it, and what they read in its pages and its database."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from uuid import UUID

import httpx
from psycopg.rows import scalar_row

from ingest.database import Connection
from portal.access import Role, signin_token
from rules.booking.links import offer_token
from tests.browser.portal_scene import SECRET, Clock, Scene


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
        return f"/offer/{offer_token(SECRET, self.scene.booking, self.clock.now)}"


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
