"""A process's heartbeat: a row in the database, written every few seconds, with what the process says of itself.

It is also how a process knows that the database is there. ``wearcast status`` and the watch read these rows; the
row of a process that ended in order is gone, that of one that was killed grows old.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from typing import Final

import psycopg
from prometheus_client import REGISTRY
from psycopg.types.json import Jsonb

from ingest.database import Connection, connect
from ingest.errors import DatabaseError
from ingest.pulse import PULSE
from wearcast import __version__

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 10.0
MISSED_BEATS: Final = 3  # after which a process counts as gone
_SLOW_SECONDS: Final = 15.0
_PREFIX: Final = "wearcast_"


@contextmanager
def beating(
    process: str, url: str, *, instance: str | None = None, listens: str | None = None, period_s: float = PERIOD_SECONDS
) -> Iterator[None]:
    """Beat for the time of the block. ``instance``: its name among several; without one the machine's, numbered."""
    stop = threading.Event()
    heart = _Heart(process, url, instance=instance, listens=listens, period_s=period_s)
    thread = threading.Thread(target=heart.run, args=(stop,), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)


class _Heart:
    def __init__(self, process: str, url: str, *, instance: str | None, listens: str | None, period_s: float) -> None:
        self._process = process
        self._url = url
        self._instance = instance
        self._listens = listens
        self._period_s = period_s
        self._started = time.time()
        self._before: tuple[float, dict[str, float]] | None = None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                with closing(
                    connect(self._url, application_name=f"wearcast {self._process} heartbeat", autocommit=True)
                ) as connection:
                    self._instance = self._instance or _free_instance(connection, self._process)
                    while not stop.is_set():
                        # A database that hangs raises nothing: only the time it takes tells.
                        with PULSE.work("database: writing the heartbeat", _SLOW_SECONDS):
                            self._beat(connection)
                        PULSE.well("database")
                        stop.wait(self._period_s)
                    self._leave(connection)
            except psycopg.ProgrammingError as error:
                PULSE.trouble("database", f"another version's schema, run wearcast db migrate: {type(error).__name__}")
            except (DatabaseError, psycopg.Error) as error:  # whatever it is, the heart must not stop for good
                PULSE.trouble("database", (str(error).strip() or type(error).__name__).splitlines()[0])
            stop.wait(self._period_s)

    def _beat(self, connection: Connection) -> None:
        now, figures = time.monotonic(), read_figures()
        rates: dict[str, float] = {}
        if self._before is not None:
            then, before = self._before
            rates = {
                name: max(0.0, figures[name] - before.get(name, 0.0)) / (now - then)
                for name in figures
                if name.partition("{")[0].endswith(("_total", "_sum", "_count"))
            }
        self._before = (now, figures)
        connection.execute(
            """
            INSERT INTO process_heartbeat (process, instance, host, pid, version, started_at, beat_at, period, alive,
                                           problems, listens, figures, rates)
            VALUES (%s, %s, %s, %s, %s, to_timestamp(%s), now(), %s, %s, %s, %s, %s, %s)
            ON CONFLICT (process, instance) DO UPDATE SET host = excluded.host, pid = excluded.pid,
                version = excluded.version, started_at = excluded.started_at, beat_at = excluded.beat_at,
                period = excluded.period, alive = excluded.alive, problems = excluded.problems,
                listens = excluded.listens, figures = excluded.figures, rates = excluded.rates
            """,
            [
                self._process,
                self._instance,
                socket.gethostname(),
                os.getpid(),
                __version__,
                self._started,
                timedelta(seconds=self._period_s),
                not PULSE.stopped_loops(),
                Jsonb(PULSE.problems()),
                self._listens,
                Jsonb(figures),
                Jsonb(rates),
            ],
        )

    def _leave(self, connection: Connection) -> None:
        connection.execute(
            "DELETE FROM process_heartbeat WHERE process = %s AND instance = %s AND pid = %s",
            [self._process, self._instance, os.getpid()],
        )


def read_figures() -> dict[str, float]:
    """Counters, gauges, sums and counts of this process, by ``name{label=value}``."""
    return {
        _name(sample.name, sample.labels): sample.value
        for family in REGISTRY.collect()
        if family.name.startswith(_PREFIX)
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


def _name(name: str, labels: Mapping[str, str]) -> str:
    return name + (f"{{{','.join(f'{label}={value}' for label, value in sorted(labels.items()))}}}" if labels else "")


def _free_instance(connection: Connection, process: str) -> str:
    """The machine's name, numbered from the second on. What a killed process left behind is taken over."""
    host = socket.gethostname()
    rows = connection.execute(
        "SELECT instance, pid, beat_at > now() - %s * period FROM process_heartbeat WHERE process = %s AND host = %s",
        [MISSED_BEATS, process, host],
    ).fetchall()
    taken = {instance for instance, pid, fresh in rows if fresh and pid != os.getpid() and _runs(pid)}
    names = (host if number == 1 else f"{host}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _runs(pid: int) -> bool:
    with suppress(ProcessLookupError):
        try:
            os.kill(pid, 0)
        except PermissionError:
            return True
        return True
    return False
