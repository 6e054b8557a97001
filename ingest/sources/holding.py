"""What a worker has taken from a shared consumer and not settled, and how much more it may ask for. Pure.

A worker holds little: what it holds, no other can take before it is given back or its time is over. The broker keeps
the rest.
"""

from dataclasses import dataclass
from typing import Final

# A request is answered with one message at least, however large it may be (1 MiB by the servers' default).
_LARGEST_BYTES: Final = 2 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What to ask for, at most."""

    messages: int
    bytes: int


@dataclass(kw_only=True)
class _Held:
    size: int  # bytes
    taken_at: float  # seconds of a monotonic clock
    extended_at: float


class Holding:
    """Messages by their receipt, which is the subject on which they are settled."""

    def __init__(self, *, most_messages: int, most_bytes: int) -> None:
        self._most_messages = most_messages
        self._most_bytes = max(most_bytes, _LARGEST_BYTES)
        self._held: dict[str, _Held] = {}
        self._bytes = 0
        self._asked = 0  # messages the broker still owes us

    def __len__(self) -> int:
        return len(self._held)

    @property
    def asked(self) -> int:
        """Messages that were asked for and have not come."""
        return self._asked

    def demand(self) -> Demand | None:
        """What to ask for now, which then counts as asked; None while half of the room is taken or spoken for."""
        messages = self._most_messages - len(self._held) - self._asked
        size = self._most_bytes - self._bytes
        if 2 * messages < self._most_messages or size < _LARGEST_BYTES:
            return None
        self._asked += messages
        return Demand(messages=messages, bytes=size)

    def take(self, receipt: str, size: int, now: float) -> None:
        """A message has come."""
        self._asked = max(0, self._asked - 1)
        self.settle(receipt)  # the same delivery counts once; a later one has a receipt of its own
        self._held[receipt] = _Held(size=size, taken_at=now, extended_at=now)
        self._bytes += size

    def settle(self, receipt: str) -> None:
        """It is settled or given back."""
        held = self._held.pop(receipt, None)
        if held is not None:
            self._bytes -= held.size

    def unanswered(self, messages: int) -> None:
        """A request ended with so many messages of it outstanding."""
        self._asked = max(0, self._asked - messages)

    def nothing_asked(self) -> None:
        """The requests are lost, with their connection or with who was to answer them."""
        self._asked = 0

    def to_extend(self, now: float, *, after_seconds: float, at_most_seconds: float) -> list[str]:
        """Receipts whose time is to be extended: ``after_seconds`` since the last time.

        Never beyond ``at_most_seconds`` after they were taken: then another worker may have them.
        """
        due: list[str] = []
        for receipt, held in self._held.items():
            if now - held.extended_at >= after_seconds and now - held.taken_at < at_most_seconds:
                held.extended_at = now
                due.append(receipt)
        return due
