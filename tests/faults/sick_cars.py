"""Cars whose trouble codes come and go, and their owners, who answer what is proposed to them.

A step is taken when the one before is over: a code is cleared when the rules have judged the car with it, and the next
one appears when they have judged it without. Whether an alert was opened is not asked: that is the audit's.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import tuple_row

from ingest.database import Connection
from ingest.errors import IngestError
from rules.booking import desk
from rules.booking.errors import BookingError
from telemetry.records import BatchKey, EventKind, EventsBatch, VehicleEvent
from telemetry.topics import publish_topic
from telemetry.wire import encode_events
from tests.faults.slots import DoublyBooked, doubly_booked

SICK: Final = ("wc-sick-1", "wc-sick-2", "wc-sick-3")
_CODES: Final = [f"P0{number}" for number in range(100, 800)]  # of each severity, with and without a job to book
_LOOK_SECONDS: Final = 0.05
_AGAIN_SECONDS: Final = 1.0  # until what is not stored is sent again
# What becomes of a slot: given back, declined, kept while the next code comes, used and so never free again.
_ANSWERS: Final = ("cancel", "decline", "keep", "complete")
_WEIGHTS: Final = (5, 3, 2, 2)


@dataclass(frozen=True, kw_only=True)
class _Sent:
    sequence: int
    payload: bytes


class SickCar:
    """One car with at most one code at a time. Used by one thread; counters may be read by any."""

    def __init__(self, *, device: str, vehicle: UUID, seed: int, send: Callable[[str, bytes], None]) -> None:
        """``seed``: of the codes' order and the owner's answers."""
        self.device = device
        self.vehicle = vehicle
        self.boot = uuid4()
        self.appeared: Counter[str] = Counter()  # codes, each as often as the database has it stored that it appeared
        self.judged = 0  # times that the rules have judged it with or without a code
        self.finished = False
        self.finishing = False
        self._draw = random.Random(f"{seed} {device}")
        self._send = send
        self._sequence = 0
        self._sent: _Sent | None = None
        self._sent_at = float("-inf")
        self._must_judge: int | None = None  # version of its state
        self._code: str | None = None
        self._answer = "cancel"

    def step(self, connection: Connection) -> None:
        """Do what can be done now. psycopg.Error, IngestError: nothing can, the next step begins where this one did."""
        version, judged, stored = self._standing(connection)
        if self._sent is not None:
            if stored < self._sent.sequence:
                self._say_again(self._sent)
                return
            if self._code is not None:
                self.appeared[self._code] += 1
            self._sent, self._must_judge = None, version
        if self._must_judge is not None:
            if judged < self._must_judge:
                return
            self.judged += 1
            self._must_judge = None
        if self._settled(connection):
            self._next()

    def _standing(self, connection: Connection) -> tuple[int, int, int]:
        """Version of its state, the newest version that the rules have judged, and the newest batch stored."""
        with connection.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute(
                "SELECT coalesce((SELECT version FROM vehicle_state WHERE vehicle_id = %(vehicle)s), 0),"
                " coalesce((SELECT evaluated_version FROM rule_progress WHERE vehicle_id = %(vehicle)s), 0),"
                " (SELECT coalesce(max(sequence), 0) FROM batch WHERE device_id = %(device)s AND boot = %(boot)s)",
                {"vehicle": self.vehicle, "device": self.device, "boot": self.boot},
            ).fetchone()
        assert row is not None
        return row[0], row[1], row[2]

    def _settled(self, connection: Connection) -> bool:
        """Answer as the owner; whether nothing is left to be answered."""
        with connection.cursor(row_factory=tuple_row) as cursor:
            open_bookings = cursor.execute(
                "SELECT id, state FROM booking WHERE vehicle_id = %s AND state IN ('proposed', 'confirmed')",
                [self.vehicle],
            ).fetchall()
        keeps = self._answer == "keep" and not self.finishing
        now = datetime.now(UTC)
        for booking_id, state in open_bookings:
            if state == "proposed":
                (desk.decline if self._answer == "decline" else desk.confirm)(connection, booking_id, now)
                return False
            if self._code is None and not keeps:
                self._end(connection, booking_id, now)
                return False
        return True

    def _end(self, connection: Connection, booking_id: UUID, now: datetime) -> None:
        if self._answer == "complete":
            try:
                desk.complete(connection, booking_id, "Repaired.", now)
            except BookingError:  # its slot is on another day
                self._answer = "cancel"
        if self._answer != "complete":
            desk.cancel(connection, booking_id, now)

    def _next(self) -> None:
        if self._code is None and self.finishing:
            self.finished = True
            return
        if self._code is None:
            self._code = self._draw.choice(_CODES)
            self._answer = self._draw.choices(_ANSWERS, _WEIGHTS)[0]
            self._say(EventKind.DTC_APPEARED, self._code)
        else:
            code, self._code = self._code, None
            self._say(EventKind.DTC_CLEARED, code)

    def _say(self, kind: EventKind, code: str) -> None:
        self._sequence += 1
        data = {"code": code, "ecu": "7E8", "status": "confirmed", "mil": True}
        now = datetime.now(UTC)
        event = VehicleEvent(time=now.replace(microsecond=now.microsecond // 1000 * 1000), kind=kind, data=data)
        batch = EventsBatch(key=BatchKey(device=self.device, boot=self.boot, sequence=self._sequence), events=(event,))
        self._sent = _Sent(sequence=self._sequence, payload=encode_events(batch))
        self._sent_at = float("-inf")
        self._say_again(self._sent)

    def _say_again(self, sent: _Sent) -> None:
        if time.monotonic() - self._sent_at > _AGAIN_SECONDS:
            self._sent_at = time.monotonic()
            self._send(publish_topic(self.device, "events"), sent.payload)


class SickCars:
    """Drives all of them, in a thread of its own, and looks at the bays they share."""

    def __init__(self, cars: Sequence[SickCar], connect: Callable[[], AbstractContextManager[Connection]]) -> None:
        self.cars = tuple(cars)
        self.doubly_booked: set[DoublyBooked] = set()  # ever seen
        self._connect = connect
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sick cars", daemon=True)

    @property
    def judged(self) -> int:
        """How often the rules have judged one of them with or without a code."""
        return sum(car.judged for car in self.cars)

    @property
    def finished(self) -> bool:
        """Whether all codes are cleared, and all slots given back."""
        return all(car.finished for car in self.cars)

    def start(self) -> None:
        """Let the first codes appear."""
        self._thread.start()

    def finish(self) -> None:
        """Let no other code appear, and no slot be kept."""
        for car in self.cars:
            car.finishing = True

    def close(self) -> None:
        """End."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            try:
                with self._connect() as connection:
                    while not self._over.wait(_LOOK_SECONDS):
                        for car in self.cars:
                            car.step(connection)
                        self.doubly_booked |= doubly_booked(connection)
            except (psycopg.Error, IngestError):
                continue  # a fault's: as long as it lasts
