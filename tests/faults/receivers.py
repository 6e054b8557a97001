"""Who is told: the workshop's webhook and the owners' channel, which note when each message was taken.

They know nothing of the database. They can be slow, answer 500, and take a message whose sender never hears so.
"""

import itertools
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec

from rules.booking.links import read_offer_token
from rules.delivery.receiver import Receiver
from tests.faults.wire import Wire

WORKSHOP: Final = "workshop"
_OWNER: Final = "/owner/"
_LINK: Final = re.compile(r"https?://\S+")
_ONLY_ONE_ANSWERS_SECONDS: Final = 0.1  # from a reset to the answer that must not get through


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A message that was taken: its number among all, what it is known by, and when, by the monotonic clock."""

    number: int
    identity: str
    at_seconds: float


class Receivers(Receiver):
    """Takes good messages and notes each, also those it had before. ``wire`` leads here."""

    def __init__(self, webhook_secret: str, link_secret: str) -> None:
        super().__init__({WORKSHOP: webhook_secret})
        self.wire: Wire | None = None
        self.fails = False  # answers 500 and takes nothing
        self.answers_after_seconds = 0.0
        self.disturbed = 0  # messages that were answered with 500, too late or not at all
        self._answers_to_lose = 0
        self._link_secret = link_secret
        self._arrivals: list[Arrival] = []
        self._noting = threading.Lock()
        self._numbers = itertools.count(1)

    @property
    def arrivals(self) -> tuple[Arrival, ...]:
        """Every message taken so far, in order."""
        with self._noting:
            return tuple(self._arrivals)

    @property
    def taken(self) -> int:
        """How many those are."""
        return len(self._arrivals)

    @property
    def loses_answers(self) -> int:
        """So many messages more are taken and not answered."""
        return self._answers_to_lose

    @loses_answers.setter
    def loses_answers(self, messages: int) -> None:
        with self._noting:
            self._answers_to_lose = messages

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> HTTPStatus:
        """Judge a message, note it if it is good, and answer as it is told to."""
        if self.fails:
            self.disturbed += 1
            return HTTPStatus.INTERNAL_SERVER_ERROR
        status = super().take(path, headers, body)
        if status is not HTTPStatus.OK:
            return status
        self._note(path, headers, body)
        if self.answers_after_seconds:
            self.disturbed += 1
            time.sleep(self.answers_after_seconds)
        if self._answer_is_lost():
            assert self.wire is not None
            self.wire.cut()
            time.sleep(_ONLY_ONE_ANSWERS_SECONDS)
        return status

    def _answer_is_lost(self) -> bool:
        with self._noting:
            lost = self._answers_to_lose > 0
            self._answers_to_lose -= lost
            self.disturbed += lost
        return lost

    def _note(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        if path.startswith(_OWNER):
            content = msgspec.json.decode(body, type=dict[str, Any])
            identity = owner_identity(content["title"], content["message"], self._link_secret)
        else:
            identity = {key.lower(): value for key, value in headers.items()}["webhook-id"]
        with self._noting:
            arrival = Arrival(number=next(self._numbers), identity=identity, at_seconds=time.monotonic())
            self._arrivals.append(arrival)


def owner_identity(title: str, text: str, link_secret: str) -> str:
    """What an owner's message is known by: its words, and the booking that its link leads to.

    Apprise carries no idempotency key, and a link is signed with its time: each attempt has another one.
    """

    def leads_to(link: re.Match[str]) -> str:
        _, offer, token = link[0].partition("/offer/")
        return f"booking {read_offer_token(link_secret, token, datetime.now(UTC))}" if offer else "the vehicle"

    return f"{title}\n{_LINK.sub(leads_to, text)}"
