"""The watch: gather the facts every few seconds, judge them, export them, tell the operator.

One process per installation; a second one does no harm.
"""

import json
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from typing import Final

from ingest.database import NOT_NOW, Connection, connect
from ingest.pulse import PULSE
from rules.delivery.owner_channel import OwnerChannel
from rules.delivery.texts import Notice
from wearcast.settings import Settings
from wearcast.watch import metrics, operator
from wearcast.watch.endpoint import Answer
from wearcast.watch.facts import Process
from wearcast.watch.gather import gather, targets
from wearcast.watch.judge import SelfAlert, judge

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 15.0
FORGOTTEN_AFTER: Final = timedelta(days=1)  # a process that is gone
KEPT: Final = timedelta(days=90)  # an alert that is over
_OVERDUE_SECONDS: Final = 120.0


class Watch:
    """The rounds of the watch; :meth:`targets_page` answers what they saw last."""

    def __init__(self, settings: Settings, url: str, channel: OwnerChannel | None) -> None:
        self._settings = settings
        self._url = url
        self._channel = channel
        self._addresses = operator.read_addresses(settings.operator_notify_file)
        self._processes: tuple[Process, ...] = ()
        self._away_since: float | None = None  # monotonic seconds, while the database is away
        self._away_told = False

    def targets_page(self) -> Answer:
        """Where Prometheus finds every process (its ``http_sd_configs``)."""
        return 200, "application/json", json.dumps(targets(self._processes)).encode()

    def run(self, stop: threading.Event, period_s: float = PERIOD_SECONDS) -> None:
        """Until ``stop`` is set. A database that is away is waited for, and told of."""
        log.info("watch ready")
        while not stop.is_set():
            try:
                with closing(connect(self._url, application_name="wearcast watch", autocommit=True)) as connection:
                    while not stop.is_set():
                        PULSE.turn("watch", _OVERDUE_SECONDS)
                        self.look(connection)
                        self._database_back()
                        stop.wait(period_s)
            except NOT_NOW as error:
                PULSE.turn("watch", _OVERDUE_SECONDS)
                self._database_away((str(error).strip() or type(error).__name__).splitlines()[0])
                stop.wait(period_s)
        PULSE.ended("watch")

    def look(self, connection: Connection) -> Sequence[SelfAlert]:
        """One round."""
        with metrics.GATHER_SECONDS.time():
            facts = gather(connection, self._settings)
        alerts = judge(facts)
        self._processes = facts.processes
        metrics.export(facts, alerts)
        operator.remember(connection, alerts, facts.now)
        if self._channel is not None:
            operator.tell(connection, self._channel, self._addresses, facts.now)
        _tidy(connection)
        return alerts

    def _database_away(self, reason: str) -> None:
        """What is told elsewhere is kept in the database: of its own absence the memory has to do."""
        metrics.DATABASE_REACHED.set(0)
        metrics.FAILURES.labels("gather").inc()
        log.warning("the watch does not reach the database: %s", reason)
        self._away_since = self._away_since or time.monotonic()
        if not self._away_told and time.monotonic() - self._away_since >= operator.LASTS.total_seconds():
            text = f"The watch does not reach the database: {reason}.\nWhat to do: look whether it runs."
            away = Notice(key="self/database/began", title="Wearcast: database-away", text=text, urgent=True)
            self._away_told = self._send(away)

    def _database_back(self) -> None:
        metrics.DATABASE_REACHED.set(1)
        self._away_since = None
        if self._away_told:
            text = "The watch reaches the database again."
            back = Notice(key="self/database/ended", title="Wearcast: over: database-away", text=text, urgent=False)
            self._away_told = not self._send(back)

    def _send(self, message: Notice) -> bool:
        return self._channel is not None and operator.send(self._channel, self._addresses, message)


def _tidy(connection: Connection) -> None:
    connection.execute("DELETE FROM process_heartbeat WHERE beat_at < now() - %s", [FORGOTTEN_AFTER])
    connection.execute("DELETE FROM operator_alert WHERE ended_at < now() - %s", [KEPT])
