"""Brings wipes to the dongles of erased persons, and notes what became of them: the courier's other half.

A dongle that is away is told when it comes back: whatever it says on its branch shows that it is there.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ingest.database import Connection
from ingest.outbound import wipes
from telemetry.errors import WireError
from telemetry.topics import DEVICE_ID, PREFIX, sender_of
from telemetry.wipe import WIPE_KIND, Wipe, WipeResult, decode_wipe_result

logger = logging.getLogger(__name__)

_ENDING: Final = f"/results/{WIPE_KIND}"
_RESULTS: Final = re.compile(rf"{re.escape(PREFIX)}/({DEVICE_ID.pattern}){_ENDING}")
_MOST_RESULTS: Final = 1000  # waiting to be noted; what finds no room is answered again
_SEEN_AGAIN_SECONDS: Final = 2.0  # a dongle that talks without end is no news each time


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What came since the last turn: answers, and awaited devices that showed themselves."""

    results: tuple[WipeResult, ...]
    seen: frozenset[str]


class WipePost:
    """Of one courier, which gives it its turns. All but :meth:`settle` is called on the event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._results: list[WipeResult] = []
        self._awaited: frozenset[str] = frozenset()
        self._seen: set[str] = set()
        self._untold: frozenset[str] = frozenset()  # seen, and told a moment before they could hear it, perhaps
        self._seen_at: dict[str, float] = {}
        self.news = asyncio.Event()  # something is to be noted or sent now

    def offer(self, topic: str, payload: bytes) -> bool:
        """Take a message if it is an answer to a wipe, or of a dongle that is let in for nothing else.

        So is an empty status: what was retained is cleared, which tells nothing of a device.
        """
        # Of every message that arrives: the cheap look first.
        if topic.endswith(_ENDING) and (found := _RESULTS.fullmatch(topic)) is not None:
            self._answer(found[1], payload)
            return True
        if self._awaited and (sender := sender_of(topic)) in self._awaited:
            self._show(sender)
            return True
        return not payload and topic.endswith("/status")

    def heard(self) -> Heard:
        """What there is to be settled; it is taken."""
        heard = Heard(results=tuple(self._results), seen=self._untold.union(self._seen))
        self._results.clear()
        self._seen.clear()
        self.news.clear()
        return heard

    def settle(self, connection: Connection, heard: Heard, now: datetime, *, may_send: bool) -> list[Wipe]:
        """Note what was heard and claim what is due; in transactions of their own, committed before sending."""
        with connection.transaction():
            wipes.answered(connection, heard.results, now)
            if wipes.expire(connection, now):
                logger.warning("dongles of erased persons did not empty themselves in time: wearcast privacy wipes")
            self._awaited = wipes.awaited(connection)
        for result in heard.results:
            logger.info("%s: wipe %s %s", result.device, result.state, result.refusal or "")
        due: list[Wipe] = []
        if may_send and self._awaited:
            with connection.transaction():
                due = wipes.take_due(connection, now, seen=heard.seen)
        self._untold = (heard.seen & self._awaited).difference(wipe.device for wipe in due)
        return due

    def _show(self, device: str) -> None:
        now = self._clock()
        if now - self._seen_at.get(device, float("-inf")) >= _SEEN_AGAIN_SECONDS:
            self._seen_at = {known: at for known, at in self._seen_at.items() if known in self._awaited} | {device: now}
            self._seen.add(device)
            self.news.set()

    def _answer(self, device: str, payload: bytes) -> None:
        try:
            result = decode_wipe_result(device, payload)
        except WireError as error:
            logger.warning("ignored an answer of %s: %s", device, error)
            return
        if len(self._results) >= _MOST_RESULTS:
            logger.warning("an answer of %s finds no room; it is asked for again", device)
            return
        self._results.append(result)
        self.news.set()
