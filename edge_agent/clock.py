"""Time on a device without a clock: a boot id, milliseconds since boot, and a wall time that never runs backwards.

Three times, kept apart:

* ``boot`` names one start of the agent. Sequence numbers count within it, so a restarted agent can never give the
  key of an old batch to new data, not even if its outbox was lost. A new process start is therefore a new boot.
* ``monotonic_ms`` is CLOCK_BOOTTIME (it goes on during suspend): what really passed between two samples, over all
  starts of the agent within one start of the machine, which ``kernel_boot`` names.
* ``now`` is the best wall time known: the system's, but never before the last known one (a file refreshed now and
  then, since a dongle without a battery-backed clock wakes up in 1970) and never before what it said earlier. Once
  the system's clock is synchronised it is right whatever was known: a time that once lay in the future is left again.

``offset_ms`` ties the last two together: wall time at CLOCK_BOOTTIME 0. A step of it is a clock put right.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID, uuid4

from telemetry.records import Sample, ms_from_utc, utc_from_ms

log = logging.getLogger(__name__)

# The outbox keeps the time while the car is read, the file while it is parked; each rename costs the flash some 30 KB.
REMEMBER_EVERY_MS: Final = 900_000
# systemd-timesyncd touches this file each time it has set the clock (systemd-timesyncd.service(8)).
SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
# 1 where the kernel set its clock from a battery-backed one (Documentation/ABI/testing/sysfs-class-rtc).
SET_FROM_RTC: Final = Path("/sys/class/rtc/rtc0/hctosys")
KERNEL_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
KERNEL_BOOT_VARIABLE: Final = "WEARCAST_KERNEL_BOOT"  # from the unit, whose hardening hides that file
STEP_MS: Final = 2_000  # a difference above this is a clock put right, below it is jitter and drift
# A machine that has just started gets its time within a minute or two, or there is none to be had.
UNSURE_MS: Final = 120_000  # of CLOCK_BOOTTIME


class Clock(Protocol):
    """The time as the agent sees it. :class:`SystemClock` on a device, ``FakeClock`` in tests."""

    @property
    def boot(self) -> UUID:
        """Names this start of the agent."""
        ...

    @property
    def kernel_boot(self) -> str:
        """Names this start of the machine."""
        ...

    @property
    def unsure(self) -> bool:
        """Whether the time is likely to be put right in a moment: what can wait had better wait."""
        ...

    @property
    def synchronised(self) -> bool:
        """Whether the machine was told the time by who knows it."""
        ...

    def now(self) -> datetime:
        """Best known wall time, UTC; earlier than before only once the clock turned out to have been ahead."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds of CLOCK_BOOTTIME."""
        ...

    def offset_ms(self) -> int:
        """Wall time at CLOCK_BOOTTIME 0, in ms since 1970: a sample's time less its ``monotonic_ms``."""
        ...

    def not_before(self, moment: datetime) -> None:
        """It is later than this: the outbox holds data of that time."""
        ...

    def remember(self) -> None:
        """Keep the time for the next start; cheap enough to be called often."""
        ...


class SystemClock:
    """The clock of the machine. ``last_known`` is the file that survives a power cut; None: none is kept."""

    def __init__(
        self,
        last_known: Path | None = None,
        *,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        boottime_ms: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000,
        synchronised: Callable[[], bool] = SYNCHRONISED.exists,
        set_from_rtc: Callable[[], bool] = lambda: _text(SET_FROM_RTC) == "1",
        kernel_boot: Callable[[], str] = lambda: os.environ.get(KERNEL_BOOT_VARIABLE, "") or _text(KERNEL_BOOT),
    ) -> None:
        self._boot = uuid4()
        # Where nobody says which start of the machine this is, only what this run dated can be put right.
        self._kernel_boot = kernel_boot().replace("-", "") or str(self._boot)
        self._last_known = last_known
        self._wall_ms = wall_ms
        self._boottime_ms = boottime_ms
        self._synchronised = synchronised
        self._offset_ms = max(wall_ms(), _read(last_known)) - boottime_ms()
        self._sure = set_from_rtc()
        self._remembered_at: int | None = None
        self._warned = False
        self._write_failed = False

    @property
    def boot(self) -> UUID:
        """Names this start of the agent."""
        return self._boot

    @property
    def kernel_boot(self) -> str:
        """Names this start of the machine; where that cannot be told, this start of the agent."""
        return self._kernel_boot

    @property
    def unsure(self) -> bool:
        """Whether the machine has just started, without a battery-backed clock, and was not told the time yet."""
        if not self._sure:
            self._sure = self._synchronised() or self._boottime_ms() >= UNSURE_MS
        return not self._sure

    @property
    def synchronised(self) -> bool:
        """Whether the machine's clock was set from the network since its start."""
        return self._synchronised()

    def now(self) -> datetime:
        """Best known wall time, UTC: follows the system clock forwards, backwards only if that is synchronised."""
        steady = self._boottime_ms() + self._offset_ms
        ahead = self._wall_ms() - steady
        if ahead > 0:
            if ahead > STEP_MS:
                log.info("the system clock was put forward by %.1f s", ahead / 1000)
                self._sure = True  # somebody told it the time
                self._remembered_at = None  # a power cut in a moment must not bring the wrong time back
            self._offset_ms += ahead
            steady += ahead
        elif ahead < -STEP_MS and self._synchronised():
            log.warning("the time known was %.1f s ahead of the synchronised clock, which is followed", -ahead / 1000)
            self._remembered_at = None
            self._offset_ms += ahead
            steady += ahead
        elif ahead < -STEP_MS and not self._warned:
            self._warned = True
            log.warning("the system clock lies %.1f s behind; time goes on from the last known one", -ahead / 1000)
        return utc_from_ms(steady)

    def monotonic_ms(self) -> int:
        """Milliseconds of CLOCK_BOOTTIME."""
        return self._boottime_ms()

    def offset_ms(self) -> int:
        """Wall time at CLOCK_BOOTTIME 0, in ms since 1970."""
        self.now()
        return self._offset_ms

    def not_before(self, moment: datetime) -> None:
        """It is later than this, as long as nothing better is known."""
        if not self._synchronised():
            self._offset_ms += max(0, ms_from_utc(moment) - ms_from_utc(self.now()))

    def remember(self) -> None:
        """Write the last-known file if it is a quarter of an hour old; by rename: a power cut leaves old or new.

        A disk that refuses costs a less exact start, and is told once.
        """
        moment = self._boottime_ms()
        if self._last_known is None or (
            self._remembered_at is not None and moment - self._remembered_at < REMEMBER_EVERY_MS
        ):
            return
        self._remembered_at = moment
        beside = self._last_known.with_name(self._last_known.name + ".new")
        try:
            beside.write_text(f"{ms_from_utc(self.now())}\n", encoding="ascii")
            os.replace(beside, self._last_known)  # noqa: PTH105 - the atomic rename, by its name in POSIX
        except OSError as error:
            if not self._write_failed:
                log.warning("%s cannot be written: %s; the next start will know the time less well", beside, error)
            self._write_failed = True
        else:
            self._write_failed = False


def restamped(sample: Sample, *, now: datetime, monotonic_ms: int) -> Sample:
    """The sample with the time it should have had, if the clock was put right since it was taken in this boot."""
    right = now - timedelta(milliseconds=monotonic_ms - sample.monotonic_ms)
    if abs(right - sample.time) <= timedelta(milliseconds=STEP_MS):
        return sample
    return replace(sample, time=right.astimezone(UTC))


def _read(path: Path | None) -> int:
    """Milliseconds since 1970 in the last-known file; 0 if there is none or it cannot be understood."""
    if path is None:
        return 0
    try:
        return max(0, ms_from_utc(utc_from_ms(int(path.read_text(encoding="ascii")))))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        log.warning("%s holds no time (%s); starting from the system clock", path, error)
        return 0


def _text(path: Path) -> str:
    """The first line of a file of the kernel; empty where it is not there."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
