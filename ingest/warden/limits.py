"""What a device may send, and when it is an offence. Pure: time comes with the messages, in seconds.

Two bounds. Beyond the first a message is left to its device, which sends it again later: an honest one, draining the
backlog of weeks, comes there and slows down by itself, as it waits for acknowledgements with a window of few batches.
Beyond the second, in messages that are over the first, it does not wait: a flood. Malformed messages have a bound of
their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from ingest.warden.bucket import Allowance, Bucket
from telemetry.wire import MAX_PAYLOAD_BYTES

Offence = Literal["flood", "malformed"]

MESSAGES_PER_SECOND: Final = 50
BYTES_PER_SECOND: Final = 512 * 1024
# A batch every ten seconds is usual, of a few kB: a day of outage may come at once, a month (260,000 batches) takes
# 90 minutes.
_BURST_SECONDS: Final = 200
# An honest device repeats a window of batches once in ten seconds or more: a few messages per second.
OVER: Final = Allowance(per_second=20, burst=2_000)
MALFORMED: Final = Allowance(per_second=0.1, burst=60)
_MOST_DEVICES: Final = 200_000  # remembered; the broker lets in those of the registry alone


@dataclass(frozen=True, kw_only=True)
class Limits:
    """All bounds of a device."""

    messages: Allowance
    bytes: Allowance
    over: Allowance = OVER  # messages beyond those two
    malformed: Allowance = MALFORMED


def limits_of(messages_per_second: float, bytes_per_second: float) -> Limits | None:
    """The bounds that follow from what is allowed all the time; None where one of them is 0: without a limit."""
    if messages_per_second == 0 or bytes_per_second == 0:
        return None
    # However low the rate: what is above a burst would never be taken, and its device would repeat it for ever.
    return Limits(
        messages=Allowance(per_second=messages_per_second, burst=max(_BURST_SECONDS * messages_per_second, 1)),
        bytes=Allowance(per_second=bytes_per_second, burst=max(_BURST_SECONDS * bytes_per_second, MAX_PAYLOAD_BYTES)),
    )


@dataclass(slots=True)
class _Account:
    messages: Bucket
    bytes: Bucket
    over: Bucket
    malformed: Bucket

    @classmethod
    def fresh(cls, limits: Limits, now: float) -> "_Account":
        return cls(
            messages=Bucket.full(limits.messages, now),
            bytes=Bucket.full(limits.bytes, now),
            over=Bucket.full(limits.over, now),
            malformed=Bucket.full(limits.malformed, now),
        )

    def is_idle(self, limits: Limits, now: float) -> bool:
        return (
            self.messages.is_full(limits.messages, now)
            and self.bytes.is_full(limits.bytes, now)
            and self.over.is_full(limits.over, now)
            and self.malformed.is_full(limits.malformed, now)
        )


@dataclass(kw_only=True)
class Meter:
    """What each device has sent of late."""

    limits: Limits
    most_devices: int = _MOST_DEVICES
    _accounts: dict[str, _Account] = field(default_factory=dict)
    offences: dict[str, Offence] = field(default_factory=dict)  # not yet collected

    def admit(self, device: str, size_bytes: int, now: float) -> bool:
        """Whether a message is taken. What is not may be an offence."""
        account = self._account(device, now)
        limits = self.limits
        # Of both or of none: a message that is too large must not use up the count of those that follow.
        if account.messages.take(1, limits.messages, now):
            if account.bytes.take(size_bytes, limits.bytes, now):
                return True
            account.messages.tokens += 1
        if not account.over.take(1, limits.over, now):
            self.offences[device] = "flood"
        return False

    def malformed(self, devices: Iterable[str], now: float) -> None:
        """Note messages that were not what they should be, one name each."""
        for device in devices:
            if not self._account(device, now).malformed.take(1, self.limits.malformed, now):
                self.offences[device] = "malformed"

    def collect(self) -> dict[str, Offence]:
        """Devices that offended since this was asked last. They begin anew: a block is counted once."""
        found, self.offences = self.offences, {}
        for device in found:
            self._accounts.pop(device, None)
        return found

    def __len__(self) -> int:
        return len(self._accounts)

    def _account(self, device: str, now: float) -> _Account:
        account = self._accounts.get(device)
        if account is None:
            if len(self._accounts) >= self.most_devices:
                self._forget(now)
            account = self._accounts[device] = _Account.fresh(self.limits, now)
        return account

    def _forget(self, now: float) -> None:
        """Forget the idle; if all are busy, those that came first."""
        idle = [device for device, account in self._accounts.items() if account.is_idle(self.limits, now)]
        for device in idle or list(self._accounts)[: self.most_devices // 10 + 1]:
            del self._accounts[device]
