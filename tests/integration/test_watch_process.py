"""A process under watch: its endpoint over HTTP, and its heartbeat in a real database."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from psycopg.rows import dict_row

from ingest import metrics
from ingest.database import Connection, connect
from ingest.pulse import PULSE, Pulse
from tests.integration.test_ingest_session import end_others, set_read_only
from tests.integration.watch_support import eventually
from wearcast.embedded.processes import ManagedProcess
from wearcast.settings import ListenAddress
from wearcast.watch import heartbeat
from wearcast.watch.endpoint import pages, serving
from wearcast.watch.heartbeat import beating

pytestmark = pytest.mark.database
ANY_PORT = ListenAddress(host="127.0.0.1", port=0)


class Standing:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def endpoint(pulse: Pulse) -> Iterator[str]:
    with serving(ANY_PORT, pages("test", pulse)) as listens:
        assert listens is not None
        yield f"http://{listens}"


def get(url: str) -> tuple[int, str]:
    answer = httpx.get(url, trust_env=False, timeout=60)
    return answer.status_code, answer.text


def test_endpoint_tells_dead_from_unready() -> None:
    clock = Standing()
    pulse = Pulse(clock)
    pulse.turn("loop", 5)
    with endpoint(pulse) as url:
        assert get(f"{url}/healthz")[0] == 200
        assert get(f"{url}/readyz")[0] == 200
        pulse.trouble("broker", "not connected")
        status, body = get(f"{url}/readyz")
        assert (status, json.loads(body)["problems"]) == (503, ["broker: not connected"])
        assert get(f"{url}/healthz")[0] == 200
        clock.now = 60
        status, body = get(f"{url}/healthz")
        assert (status, json.loads(body)["alive"]) == (503, False)
        assert get(f"{url}/elsewhere")[0] == 404


def test_metrics_are_in_the_text_format() -> None:
    metrics.REJECTED.labels("malformed").inc(0)
    with endpoint(Pulse()) as url:
        status, body = get(f"{url}/metrics")
    assert status == 200
    assert "# TYPE wearcast_ingest_commit_seconds histogram" in body
    assert 'wearcast_ingest_rejected_total{reason="malformed"}' in body


def test_processes_of_one_machine_share_the_setting() -> None:
    with serving(ANY_PORT, {}) as first:
        assert first is not None
        taken = ListenAddress(host="127.0.0.1", port=int(first.rpartition(":")[2]))
        with serving(taken, {}) as second:
            assert second is not None
            assert second != first


def test_off_listens_nowhere() -> None:
    with serving(None, {}) as listens:
        assert listens is None


def beats(connection: Connection) -> list[dict[str, object]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM process_heartbeat ORDER BY process, instance").fetchall()


def test_heartbeat_comes_with_figures_and_goes_with_the_process(connection: Connection, database_url: str) -> None:
    metrics.BATCHES.inc(3)
    with beating("ingest", database_url, instance="ingest-1", listens="127.0.0.1:9464", period_s=0.05):
        eventually(lambda: bool(beats(connection)) and bool(beats(connection)[0]["rates"]), "two beats")
        (row,) = beats(connection)
        assert (row["process"], row["instance"], row["pid"]) == ("ingest", "ingest-1", os.getpid())
        assert (row["alive"], row["problems"], row["listens"]) == (True, [], "127.0.0.1:9464")
        figures, rates = row["figures"], row["rates"]
        assert isinstance(figures, dict)
        assert isinstance(rates, dict)
        assert figures["wearcast_ingest_batches_total"] >= 3
        assert rates["wearcast_ingest_batches_total"] == 0
    assert beats(connection) == []


def test_a_killed_process_is_taken_over_and_a_second_gets_a_name_of_its_own(
    connection: Connection, database_url: str
) -> None:
    with beating("rules", database_url, period_s=0.05):
        eventually(lambda: len(beats(connection)) == 1, "a beat")
        # Of another process of this machine that runs: its parent.
        connection.execute("UPDATE process_heartbeat SET pid = %s, instance = 'kept'", [os.getppid()])
        eventually(lambda: len(beats(connection)) == 2, "a beat under the former name")
        connection.execute("DELETE FROM process_heartbeat WHERE instance <> 'kept'")
        eventually(lambda: len(beats(connection)) == 2, "another beat")
        host = next(row["instance"] for row in beats(connection) if row["instance"] != "kept")
    connection.execute("UPDATE process_heartbeat SET instance = %s, period = '1 hour'", [host])
    with beating("rules", database_url, period_s=0.05):
        eventually(lambda: len(beats(connection)) == 2, "a beat beside the one that runs")
        assert {row["instance"] for row in beats(connection)} == {host, f"{host}-2"}
    connection.execute("UPDATE process_heartbeat SET beat_at = now() - interval '1 day'")
    with beating("rules", database_url, period_s=0.05):
        eventually(lambda: beats(connection)[0]["pid"] == os.getpid(), "taking the old name over")
        assert [row["instance"] for row in beats(connection)] == [host]


def test_a_heart_outlives_a_database_that_takes_no_writes_and_tells_of_one_that_hangs(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_SLOW_SECONDS", 0.1)
    with beating("delivery", database_url, instance="d", period_s=0.05):
        eventually(lambda: len(beats(connection)) == 1, "a beat")
        connection.execute("SET default_transaction_read_only = off")
        set_read_only(connection, on=True)
        try:
            end_others(connection)
            eventually(lambda: any("read-only" in problem for problem in PULSE.problems()), "the trouble is told")
        finally:
            set_read_only(connection, on=False)
        eventually(lambda: PULSE.problems() == [], "it beats again")
        with connect(database_url) as other:
            other.execute("LOCK TABLE process_heartbeat IN ACCESS EXCLUSIVE MODE")
            eventually(lambda: any("writing the heartbeat" in problem for problem in PULSE.problems()), "it is told")
            other.rollback()
        eventually(lambda: PULSE.problems() == [], "it beats again")


@pytest.mark.timeout(120)
def test_a_portal_that_is_stopped_takes_its_heartbeat_with_it(
    connection: Connection, database_url: str, tmp_path: Path
) -> None:
    portal = ManagedProcess.start(
        [sys.executable, "-m", "wearcast.cli", "portal", "run", "--port", "0"],
        name="portal",
        log_path=tmp_path / "portal.log",
        env={
            "WEARCAST_DATABASE_URL": database_url,
            "WEARCAST_SECRET_FILE": str(tmp_path / "secret"),
            "WEARCAST_WATCH_LISTEN": "127.0.0.1:0",
        },
        cwd=tmp_path,
    )
    try:
        portal.wait_for_line("portal ready", 60)
        eventually(lambda: bool(beats(connection)), "a beat")
        (row,) = beats(connection)
        assert row["process"] == "portal"
        status, body = get(f"http://{row['listens']}/readyz")
        assert (status, json.loads(body)["process"]) == (200, "portal")
    finally:
        ended = portal.stop(60)
    assert ended == 0
    assert beats(connection) == []
