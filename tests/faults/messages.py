"""Faults of what is sent: known batches again, in any order and long after, tomorrow's agent, poison.

With each goes a good batch of the stranger's, sent until it is stored: whatever came before it has not stopped a
worker.
"""

import json
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from telemetry import compact
from telemetry.records import BatchKey, ReadingsBatch, Sample
from telemetry.topics import Channel, publish_topic
from telemetry.wire import encode_readings
from tests.faults.fault import MESSAGE_TARGETS, Fault, MissedError
from tests.faults.site import FaultSite
from tests.faults.stranger import SPEED, Sent
from tests.faults.witness import Message

_AGAIN_SECONDS: Final = 1.0


class _Messages(Fault):
    targets = MESSAGE_TARGETS
    hold_seconds = (0.0, 0.0)
    age = timedelta(0)  # of the good batch

    def messages(self) -> list[Message]:
        """What is sent."""
        raise NotImplementedError

    def inject(self) -> None:
        messages = self.messages()
        if not messages:
            raise MissedError("nothing was heard yet")
        for topic, payload in messages:
            self.site.witness.send(topic, payload)
        self._good: Sent = self.site.stranger.good(self.age)
        self._sent_at = float("-inf")

    def recovered(self) -> bool:
        if self._good.sequence in self.site.stored_of_stranger():
            return True
        if time.monotonic() - self._sent_at > _AGAIN_SECONDS:
            self._sent_at = time.monotonic()
            self.site.witness.send(self.site.stranger.topic, self._good.payload)
        return False


class Duplicates(_Messages):
    """Batches just sent, each a second time."""

    kind = "duplicate batches"

    def messages(self) -> list[Message]:
        return self.site.witness.latest(self.draw, 20)


class Reordered(_Messages):
    """Batches of some seconds, in any order."""

    kind = "reordered batches"

    def messages(self) -> list[Message]:
        heard = self.site.witness.latest(self.draw, 60)
        self.draw.shuffle(heard)
        return heard


class WeekOld(_Messages):
    """Batches of the beginning of the run again, and one nobody has seen of a week ago."""

    kind = "week-old batches"
    age = timedelta(days=7)

    def messages(self) -> list[Message]:
        return self.site.witness.earliest(self.draw, 20)


class _Refused(_Messages):
    """Each under a name of its own: who goes on sending such messages is kept out, and loses the oldest of them."""

    def __init__(self, site: FaultSite, target: str, draw: random.Random) -> None:
        super().__init__(site, target, draw)
        self.device = f"wc-bad-{self.draw.randrange(2**32)}"

    def topic(self, channel: Channel) -> str:
        """Where it publishes."""
        return publish_topic(self.device, channel)

    def batch(self) -> ReadingsBatch:
        """A batch that could be decoded as it stands."""
        sample = Sample(time=datetime.now(UTC), monotonic_ms=0, values={SPEED: 50.0})
        return ReadingsBatch(key=BatchKey(device=self.device, boot=uuid4(), sequence=1), samples=(sample,))

    def bad(self) -> list[Message]:
        """What must be kept as refused."""
        raise NotImplementedError

    def messages(self) -> list[Message]:
        bad = self.bad()
        self.site.stranger.bad.update(bad)
        return bad


class Tomorrow(_Refused):
    """What an agent of a later version may send: kept for later where it cannot be understood, and no worker stops."""

    kind = "schema of tomorrow's agent"

    def bad(self) -> list[Message]:
        version, code = compact.VERSION + 1, 60_000 + self.draw.randrange(5_000)
        batch = self.batch()
        good, plain = encode_readings(batch), json.loads(encode_readings(batch, "json"))
        key = {"boot": str(batch.key.boot), "sequence": 1}
        event = {"time": _now(), "kind": f"tomorrow.{code}", "data": {}}
        renamed = json.dumps(plain).replace(SPEED, f"Vehicle.Tomorrow{code}")
        return [
            (self.topic("readings"), good[:2] + bytes([version]) + good[3:]),
            (self.topic("readings"), renamed.encode()),
            (self.topic("readings"), json.dumps({**plain, "schema": "wearcast.readings/9"}).encode()),
            (self.topic("events"), json.dumps({"schema": "wearcast.events/1", **key, "events": [event]}).encode()),
            (self.topic("status"), json.dumps({"schema": "wearcast.status/9", "boot": str(batch.key.boot)}).encode()),
        ]


class Poison(_Refused):
    """Broken, cut off, oversized, foreign, in another's name, of the end of time."""

    kind = "poison messages"

    def bad(self) -> list[Message]:
        salt = str(self.draw.randrange(2**32))  # so that each of them is another message
        batch = self.batch()
        good, plain = encode_readings(batch), json.loads(encode_readings(batch, "json"))
        late = json.dumps({**plain, "sequence": 2}).replace(f"{batch.samples[0].time.year}-", "9999-", 99)
        foreign = [("wearcast/v1/a/b/c/readings", good)]  # which the workers of a cluster do not take at all
        return [
            *(foreign if self.site.brokers.cluster is None else ()),
            (self.topic("readings"), b'{"schema": "wearcast.re' + salt.encode()),
            (self.topic("readings"), b"\xff\xfe\x00{" + salt.encode()),
            (self.topic("events"), b"[" * 50_000 + salt.encode()),
            (self.topic("readings"), good[:-9]),
            (self.topic("readings"), b" " * 520_000 + salt.encode() * 2_000),
            (self.topic("status"), json.dumps(plain).encode()),
            (f"wearcast/v1/wc-unknown-{salt}/readings", good),
            (self.topic("readings"), json.dumps({**plain, "device": "wc-fault-1"}).encode()),
            (self.topic("readings"), json.dumps({**plain, "sequence": 2**63}).encode()),
            (self.topic("readings"), late.encode()),
        ]


def _now() -> str:
    return datetime.now(UTC).isoformat()
