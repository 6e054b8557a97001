"""What a worker has let through and not yet told the others, who share a consumer with it. Pure.

Told are few devices: who has sent much is told at once, before more is let through; who has sent a little is told every
few seconds; and who has sent next to nothing is not told. So what several workers together let through beyond a
device's limit is :data:`AT_ONCE_SHARE` of the burst and :data:`UNTOLD_SHARE` of the rate, for each worker.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ingest.warden.limits import Limits

TOLD_EVERY_SECONDS: Final = 10.0
UNTOLD_SHARE: Final = 0.02  # of what the rate allows in that time: ten messages, by the usual limits
AT_ONCE_SHARE: Final = 0.02  # of the burst: 200 messages
_ALONG_SHARE: Final = 0.5  # of what is told at once: who comes near it is told along with who has reached it


@dataclass(kw_only=True, slots=True)
class Use:
    """Of one device: how much was taken from each of its allowances."""

    messages: float = 0
    bytes: float = 0
    over: float = 0
    malformed: float = 0

    @classmethod
    def of(cls, amounts: Iterable[float]) -> "Use":
        """In the order of the fields."""
        return cls(**dict(zip(("messages", "bytes", "over", "malformed"), amounts, strict=True)))

    def exceeds(self, bound: "Use", share: float = 1.0) -> bool:
        """Whether it is more than that, in anything."""
        return (
            self.messages > share * bound.messages
            or self.bytes > share * bound.bytes
            or self.over > share * bound.over
            or self.malformed > share * bound.malformed
        )

    def plus(self, other: "Use") -> "Use":
        """Both together."""
        return Use(
            messages=self.messages + other.messages,
            bytes=self.bytes + other.bytes,
            over=self.over + other.over,
            malformed=self.malformed + other.malformed,
        )


class Tally:
    """Of one worker, by device."""

    def __init__(self, limits: Limits) -> None:
        every = (limits.messages, limits.bytes, limits.over, limits.malformed)
        self._few = Use.of(UNTOLD_SHARE * TOLD_EVERY_SECONDS * allowance.per_second for allowance in every)
        self._many = Use.of(AT_ONCE_SHARE * allowance.burst for allowance in every)
        self._uses: dict[str, Use] = {}
        self.presses = False  # somebody is to be told of at once

    def admitted(self, device: str, size_bytes: int) -> None:
        """A message was let through."""
        use = self._of(device)
        use.messages += 1
        use.bytes += size_bytes
        if use.messages > self._many.messages or use.bytes > self._many.bytes:
            self.presses = True

    def refused(self, device: str) -> None:
        """A message was not."""
        use = self._of(device)
        use.over += 1
        if use.over > self._many.over:
            self.presses = True

    def malformed(self, device: str) -> None:
        """A message was none."""
        use = self._of(device)
        use.malformed += 1
        if use.malformed > self._many.malformed:
            self.presses = True

    def of(self, device: str) -> Use:
        """What is not told of it."""
        return self._uses.get(device) or Use()

    def collect(self, *, all_due: bool) -> dict[str, Use]:
        """What is to be told now, and counts as told; ``all_due``: the time is over for those with less, too."""
        self.presses = False
        if all_due:
            uses, self._uses = self._uses, {}
            return {device: use for device, use in uses.items() if use.exceeds(self._few)}
        many = {device: use for device, use in self._uses.items() if use.exceeds(self._many, _ALONG_SHARE)}
        for device in many:
            del self._uses[device]
        return many

    def give_back(self, uses: Mapping[str, Use]) -> None:
        """These could not be told."""
        for device, use in uses.items():
            self._uses[device] = use.plus(self.of(device))

    def _of(self, device: str) -> Use:
        use = self._uses.get(device)
        if use is None:
            use = self._uses[device] = Use()
        return use
