"""Follows each story through the database, the receiver and the mail folder, and acts for the owner when asked."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from ingest.database import Connection
from rules.delivery.receiver import Receiver
from wearcast.demo import owner
from wearcast.demo.people import Cast
from wearcast.demo.story import STORIES, Story

STEPS = ("alert", "slot held", "owner told", "confirmed", "workshop told")


@dataclass
class Progress:
    """How far a story has come: the seconds since the cars went live at which each step was seen."""

    story: Story
    reached: dict[str, float] = field(default_factory=dict)
    title: str = ""
    workshop: str = ""
    starts_at: datetime | None = None
    time_zone: str = "UTC"
    booking_id: UUID | None = None
    unexpected: set[str] = field(default_factory=set)  # rules that should not have fired

    @property
    def ended(self) -> bool:
        """Whether all steps were reached; the silent car has none."""
        return not self.story.rule or set(STEPS) <= self.reached.keys()

    @property
    def good(self) -> bool:
        """Whether it ended as it should, with no alert besides."""
        return self.ended and not self.unexpected


class Watch:
    """Looks again and again; :meth:`look` returns what is new, as sentences."""

    def __init__(self, cast: Cast, receiver: Receiver, mail: Path) -> None:
        self._cast = cast
        self._receiver = receiver
        self._mail = mail
        self._begun = time.monotonic()
        self.stories = {story.device: Progress(story=story) for story in STORIES}

    @property
    def ended(self) -> bool:
        """Whether every story has reached its end."""
        return all(progress.ended for progress in self.stories.values())

    def count(self, step: str) -> int:
        """How many stories have reached a step."""
        return sum(step in progress.reached for progress in self.stories.values())

    def look(self, connection: Connection) -> Iterable[str]:
        """One look at everything; yields a sentence per step newly reached."""
        for device, progress in self.stories.items():
            self._alerts(connection, progress, self._cast.vehicles[device])
            if progress.story.rule:
                yield from self._steps(connection, progress)

    def _alerts(self, connection: Connection, progress: Progress, vehicle: UUID) -> None:
        rows = connection.execute("SELECT rule_id FROM alert WHERE vehicle_id = %s", [vehicle]).fetchall()
        progress.unexpected = {rule for (rule,) in rows} - {progress.story.rule}

    def _steps(self, connection: Connection, progress: Progress) -> Iterable[str]:
        who = progress.story.label
        if "alert" not in progress.reached and self._find_alert(connection, progress):
            yield self._reach(progress, "alert", f"{who}: alert, {progress.title}")
        if "slot held" not in progress.reached and self._find_booking(connection, progress):
            yield self._reach(
                progress, "slot held", f"{who}: a bay is held at {progress.workshop}, {slot_text(progress)}"
            )
        if "slot held" in progress.reached and "owner told" not in progress.reached:
            link = self._message_link(progress)
            if link is not None:
                yield self._reach(progress, "owner told", f"{who}: {progress.story.owner} has the message")
                owner.confirm(link)
        if (
            "owner told" in progress.reached
            and "confirmed" not in progress.reached
            and self._booking_state(connection, progress) == "confirmed"
        ):
            yield self._reach(progress, "confirmed", f"{who}: {progress.story.owner} confirmed")
        if (
            "confirmed" in progress.reached
            and "workshop told" not in progress.reached
            and self._workshop_told(progress)
        ):
            text = f"{who}: {progress.workshop} has the job, signed webhook and calendar invitation"
            yield self._reach(progress, "workshop told", text)

    def _reach(self, progress: Progress, step: str, text: str) -> str:
        progress.reached[step] = time.monotonic() - self._begun
        return text

    def _find_alert(self, connection: Connection, progress: Progress) -> bool:
        row = connection.execute(
            "SELECT title_en FROM alert WHERE vehicle_id = %s AND rule_id = %s ORDER BY opened_at LIMIT 1",
            [self._cast.vehicles[progress.story.device], progress.story.rule],
        ).fetchone()
        progress.title = row[0] if row else ""
        return row is not None

    def _find_booking(self, connection: Connection, progress: Progress) -> bool:
        row = connection.execute(
            """
            SELECT booking.id, workshop.name, lower(period), workshop.time_zone
            FROM booking JOIN workshop ON workshop.id = workshop_id
            WHERE vehicle_id = %s ORDER BY booking.created_at LIMIT 1
            """,
            [self._cast.vehicles[progress.story.device]],
        ).fetchone()
        if row is None:
            return False
        progress.booking_id, progress.workshop, progress.starts_at, progress.time_zone = row
        return True

    def _booking_state(self, connection: Connection, progress: Progress) -> str:
        row = connection.execute("SELECT state FROM booking WHERE id = %s", [progress.booking_id]).fetchone()
        return str(row[0]) if row else ""

    def _message_link(self, progress: Progress) -> str | None:
        for received in self._receiver.received:
            if received.path == f"/owner/{progress.story.device}":
                link = owner.offer_link(str(received.body.get("message", "")))
                if link is not None:
                    return link
        return None

    def _workshop_told(self, progress: Progress) -> bool:
        number = str(progress.booking_id)
        by_webhook = any(
            received.path.startswith("/workshop/") and number in str(received.body)
            for received in self._receiver.received
        )
        return by_webhook and any(number in text for text in _invitations(self._mail))


def _invitations(folder: Path) -> Iterable[str]:
    for file in folder.glob("*.eml") if folder.is_dir() else ():
        text = file.read_text(encoding="utf-8", errors="replace")
        if "text/calendar" in text:
            yield _unfolded(text)


def _unfolded(text: str) -> str:
    """The mail with its base64 or folded calendar readable; only for looking up a booking's number in it."""
    from email import message_from_string
    from email.policy import default

    return "\n".join(
        part.get_content() for part in message_from_string(text, policy=default).walk() if not part.is_multipart()
    ).replace("\r\n ", "")


def slot_text(progress: Progress) -> str:
    """When the slot starts, on the workshop's clock."""
    from zoneinfo import ZoneInfo

    if progress.starts_at is None:
        return "-"
    return progress.starts_at.astimezone(ZoneInfo(progress.time_zone)).strftime("%a %d %b, %H:%M")


def table(stories: Mapping[str, Progress]) -> list[dict[str, object]]:
    """The closing table: car, alert, workshop, slot, and after how many seconds each step was reached."""
    return [
        {
            "car": progress.story.label,
            "story": progress.story.fate,
            "alert": progress.title or "none",
            "workshop": progress.workshop or "-",
            "slot": slot_text(progress),
            **{step: f"{progress.reached[step]:.1f} s" if step in progress.reached else "-" for step in STEPS},
            "well": progress.good,
        }
        for progress in stories.values()
    ]
