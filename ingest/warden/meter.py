"""What each device has sent of late, and when it is an offence. Pure: time comes with the messages, in seconds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ingest.warden.bucket import Bucket
from ingest.warden.limits import Limits, Offence
from ingest.warden.outage import Pardon
from ingest.warden.tally import Tally, Use

_MOST_DEVICES: Final = 200_000  # remembered; the broker lets in those of the registry alone


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
    tally: Tally | None = None  # where others count the same devices
    pardon: Pardon = field(default_factory=Pardon)
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
                if self.tally is not None:
                    self.tally.admitted(device, size_bytes)
                return True
            account.messages.tokens += 1
        if account.over.take(1, limits.over, now):
            if self.tally is not None:
                self.tally.refused(device)
        elif not self.pardon.use(device, now):
            self.offences[device] = "flood"
        return False

    def malformed(self, devices: Iterable[str], now: float) -> None:
        """Note messages that were not what they should be, one name each."""
        for device in devices:
            if not self._account(device, now).malformed.take(1, self.limits.malformed, now):
                self.offences[device] = "malformed"
            elif self.tally is not None:
                self.tally.malformed(device)

    def left(self, left: Mapping[str, Use], now: float) -> None:
        """So much is left of the allowances of these devices, after all that everybody has told."""
        limits = self.limits
        for device, theirs in left.items():
            account = self._account(device, now)
            untold = Use() if self.tally is None else self.tally.of(device)
            account.messages.at_most(theirs.messages - untold.messages, limits.messages, now)
            account.bytes.at_most(theirs.bytes - untold.bytes, limits.bytes, now)
            account.over.at_most(theirs.over - untold.over, limits.over, now)
            account.malformed.at_most(theirs.malformed - untold.malformed, limits.malformed, now)

    def collect(self) -> dict[str, Offence]:
        """Devices that offended since this was asked last. A block is counted once: their offences begin anew.

        What they may send does not: one that cannot be blocked, as its owner was erased, stays limited.
        """
        found, self.offences = self.offences, {}
        for account in filter(None, map(self._accounts.get, found)):
            account.over = Bucket.full(self.limits.over, account.over.at)
            account.malformed = Bucket.full(self.limits.malformed, account.malformed.at)
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
