"""A portal whose database is stopped and started again: pages say so, and are back by themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from ingest.database import Connection
from rules.clock import AgreedClock
from tests.browser.portal_scene import running_portal
from tests.integration.watch_support import eventually
from wearcast.embedded.timescaledb import Database

pytestmark = pytest.mark.database


@contextmanager
def away(database: Database) -> Iterator[None]:
    """The server of this session, killed for the time of the block; nothing else is connected to it."""
    database.kill()
    try:
        yield
    finally:
        database.restart()


@pytest.fixture
def browser(timescaledb: Database) -> Iterator[httpx.Client]:
    with running_portal(timescaledb.url, AgreedClock()) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def test_pages_say_that_the_database_is_away_and_come_back_with_it(
    browser: httpx.Client, timescaledb: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert browser.get("/signin").status_code == 200
    with away(timescaledb):
        for language, title in (("en", "Back in a moment"), ("zh", "请稍候")):
            page = browser.get("/signin", headers={"Accept-Language": language})
            assert (page.status_code, int(page.headers["retry-after"]) > 0) == (503, True)
            assert title in page.text
        answer = browser.get("/api/v1/fleet/none")
        assert answer.status_code == 404, "what needs no database is answered as ever"
        eventually(lambda: "the database is away" in caplog.text, "it is logged")
        asked = "the database does not answer"
        caplog.clear()
        health = browser.get("/healthz")
        assert (health.status_code, "retry-after" in health.headers) == (503, True)
        assert asked not in caplog.text, "nobody waits for what is known to be away"
    eventually(lambda: browser.get("/signin").status_code == 200, "the portal is back")
    assert "the database answers again" in caplog.text
    assert [browser.get("/signin").status_code for _ in range(10)] == [200] * 10


class Unanswered(AgreedClock):
    """Whose second question is never answered."""

    def __init__(self) -> None:
        super().__init__()
        self.questions = 0

    def agrees(self, connection: Connection) -> bool:
        self.questions += 1
        if self.questions == 2:
            connection.execute("SELECT pg_sleep(3600)")
        return super().agrees(connection)


def test_a_single_connection_that_falls_silent_does_not_keep_a_database_away(
    timescaledb: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("portal.reach._PATIENCE_S", 0.1)
    monkeypatch.setattr("portal.reach._GIVE_UP_S", 0.2)
    monkeypatch.setattr("portal.clock._PERIOD_S", 0.01)
    clock = Unanswered()
    with running_portal(timescaledb.url, clock) as url, httpx.Client(base_url=url, timeout=60) as client:
        eventually(lambda: client.get("/signin").status_code == 503, "it is taken to be away")
        eventually(lambda: client.get("/signin").status_code == 200, "it is asked anew")
    assert clock.questions > 2
