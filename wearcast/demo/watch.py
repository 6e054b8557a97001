"""Follows each story through the database, the receiver and the mail folder, and acts for the owner when asked."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_string
from email.policy import default
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from ingest.database import Connection
from rules.delivery.receiver import Receiver
from wearcast.demo import owner
from wearcast.demo.people import Cast
from wearcast.demo.story import STORIES, Story

STEPS = ("alerted", "slot held", "owner told", "confirmed", "workshop told")


@dataclass
class Progress:
    """How far a story has come: when each step happened, by whoever did it (database, receiver)."""

    story: Story
    reached: dict[str, datetime] = field(default_factory=dict)
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
    """Looks again and again; :meth:`look` yields what is new, as sentences, and answers offers for the owners."""

    def __init__(self, cast: Cast, receiver: Receiver, mail: Path) -> None:
        self._cast = cast
        self._receiver = receiver
        self._mail = mail
        self._begun = datetime.now(UTC)
        self.stories = {story.device: Progress(story=story) for story in STORIES}

    @property
    def ended(self) -> bool:
        """Whether every story has reached its end."""
        return all(progress.ended for progress in self.stories.values())

    def look(self, connection: Connection) -> Iterable[str]:
        """One look at everything."""
        for device, progress in self.stories.items():
            self._alerts(connection, progress, self._cast.vehicles[device])
            if progress.story.rule:
                for step, seen, tell in self._steps(connection, progress):
                    if step not in progress.reached:
                        if seen is None:
                            break  # the steps follow one another
                        progress.reached[step] = seen
                        yield f"{progress.story.label}: {tell()}"

    def outcomes(self) -> list[dict[str, object]]:
        """What became of each car: alert, workshop, slot, and whether it ended as it should."""
        return [
            {
                "car": progress.story.label,
                "story": progress.story.fate,
                "alert": progress.title or "none",
                "workshop": progress.workshop or "-",
                "slot": slot_text(progress),
                "well": progress.good,
            }
            for progress in self.stories.values()
        ]

    def timings(self) -> list[dict[str, object]]:
        """How long after going live each step of each story happened."""
        return [
            {"car": progress.story.label, **{step: self._seconds(progress, step) for step in STEPS}}
            for progress in self.stories.values()
            if progress.story.rule
        ]

    def _seconds(self, progress: Progress, step: str) -> str:
        moment = progress.reached.get(step)
        return "-" if moment is None else f"{(moment - self._begun).total_seconds():.1f} s"

    def _alerts(self, connection: Connection, progress: Progress, vehicle: UUID) -> None:
        rows = connection.execute("SELECT rule_id FROM alert WHERE vehicle_id = %s", [vehicle]).fetchall()
        progress.unexpected = {rule for (rule,) in rows} - {progress.story.rule}

    def _steps(
        self, connection: Connection, progress: Progress
    ) -> Iterable[tuple[str, datetime | None, Callable[[], str]]]:
        """Each step with the moment it happened (None: not yet) and how it is told."""
        name = progress.story.owner
        yield "alerted", self._alerted(connection, progress), lambda: f"alert, {progress.title}"
        yield (
            "slot held",
            self._booked(connection, progress),
            lambda: f"a bay is held at {progress.workshop}, {slot_text(progress)}",
        )
        yield "owner told", self._owner_told(progress), lambda: f"{name} has the message"
        yield "confirmed", self._confirmed(connection, progress), lambda: f"{name} confirmed"
        yield (
            "workshop told",
            self._workshop_told(progress),
            lambda: f"{progress.workshop} has the job, signed webhook and calendar invitation",
        )

    def _alerted(self, connection: Connection, progress: Progress) -> datetime | None:
        row = connection.execute(
            "SELECT title_en, opened_at FROM alert WHERE vehicle_id = %s AND rule_id = %s ORDER BY opened_at LIMIT 1",
            [self._cast.vehicles[progress.story.device], progress.story.rule],
        ).fetchone()
        progress.title = row[0] if row else ""
        return row[1] if row else None

    def _booked(self, connection: Connection, progress: Progress) -> datetime | None:
        row = connection.execute(
            """
            SELECT booking.created_at, booking.id, workshop.name, lower(period), workshop.time_zone
            FROM booking JOIN workshop ON workshop.id = workshop_id
            WHERE vehicle_id = %s ORDER BY booking.created_at LIMIT 1
            """,
            [self._cast.vehicles[progress.story.device]],
        ).fetchone()
        if row is None:
            return None
        created_at, progress.booking_id, progress.workshop, progress.starts_at, progress.time_zone = row
        assert isinstance(created_at, datetime)
        return created_at

    def _owner_told(self, progress: Progress) -> datetime | None:
        found = self._message(progress)
        return found[0] if found else None

    def _confirmed(self, connection: Connection, progress: Progress) -> datetime | None:
        """The moment of confirmation. The owner's answer is given here, once the message has arrived."""
        found = self._message(progress)
        if found is not None and "confirmed" not in progress.reached:
            owner.confirm(found[1])
        row = connection.execute(
            "SELECT changed_at FROM booking WHERE id = %s AND state = 'confirmed'", [progress.booking_id]
        ).fetchone()
        return row[0] if row else None

    def _message(self, progress: Progress) -> tuple[datetime, str] | None:
        """When the owner's message with the offer arrived, and the link in it."""
        for received in self._receiver.received:
            if received.path == f"/owner/{progress.story.device}":
                link = owner.offer_link(str(received.body.get("message", "")))
                if link is not None:
                    return received.received_at, link
        return None

    def _workshop_told(self, progress: Progress) -> datetime | None:
        number = str(progress.booking_id)
        by_webhook = [
            received.received_at
            for received in self._receiver.received
            if received.path.startswith("/workshop/") and number in str(received.body)
        ]
        invited = any(number in text for text in _invitations(self._mail))
        return by_webhook[0] if by_webhook and invited else None


def _invitations(folder: Path) -> Iterable[str]:
    for file in folder.glob("*.eml") if folder.is_dir() else ():
        text = file.read_text(encoding="utf-8", errors="replace")
        if "text/calendar" in text:
            yield _unfolded(text)


def _unfolded(text: str) -> str:
    """The mail with its base64 or folded calendar readable; only for looking up a booking's number in it."""
    return "\n".join(
        part.get_content() for part in message_from_string(text, policy=default).walk() if not part.is_multipart()
    ).replace("\r\n ", "")


def slot_text(progress: Progress) -> str:
    """When the slot starts, on the workshop's clock."""
    if progress.starts_at is None:
        return "-"
    return progress.starts_at.astimezone(ZoneInfo(progress.time_zone)).strftime("%a %d %b, %H:%M")
