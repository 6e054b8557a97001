"""Starts of the engine found in engine speed and voltage, and the dip of the voltage while the starter turns it.

A start is the change from standstill (0 rpm) to running. An idle that sags below 500 rpm is none, nor is an engine that
was running when it was first seen. A car that tells no engine speed has started when a dip seen sample by sample is
followed by a charging voltage.

The dip begins with the inrush of the standing motor, over within some 50 ms, and goes on with the voltage that the
battery holds while the engine is turned: what is compared with tests under load is the mean of the latter, from 0.1 s
to 1 s after the fall. That takes a sample every 20 ms. Seen more slowly, the lowest sample is only an upper bound of
the dip, and may belong to either part: it is told, and no health is made of it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

RUNNING_RPM: Final = 500.0  # no starter turns an engine so fast
_STANDING_RPM: Final = 50.0
FALL_V: Final = 0.5  # less is no starter's load
_RECOVERED_V: Final = 0.3  # below the voltage before: the starter has let go
_INRUSH_S: Final = 0.1
_CRANKING_S: Final = 1.0
_LONGEST_CRANKING_S: Final = 15.0  # a fall that lasts is another load
_CONFIRM_S: Final = 120.0  # from the fall to a running engine
_BEFORE_S: Final = 120.0  # so old may the voltage before the fall be
_UNSEEN_S: Final = 600.0  # a running engine not heard of for so long: it may have been stopped
_HOLE: Final = 4.0  # times what is fast
_LEAST_SAMPLES: Final = 3  # between inrush and end


class Starts(msgspec.Struct, forbid_unknown_fields=True):
    """What the next sample is compared with; voltages in V."""

    seen: datetime | None = None  # newest sample
    voltage_at: datetime | None = None  # newest sample with a voltage
    running: bool | None = None  # None: not known
    running_since: datetime | None = None
    speed_told: bool = False  # this car tells its engine speed
    before_v: float | None = None  # newest voltage before a fall
    before_at: datetime | None = None
    fall_at: datetime | None = None
    fall_from_v: float = 0.0
    ended: bool = False  # the fall is over
    lowest_v: float = 0.0
    within: int = 0  # samples of the fall's first second, the time they took, and the longest gap between two
    within_s: float = 0.0
    longest_s: float = 0.0
    sum_v: float = 0.0
    count: int = 0
    rested: bool = False  # the battery was at rest before the fall
    starts: int = 0
    fast_starts: int = 0


@dataclass(frozen=True, kw_only=True)
class Start:
    """An engine has started. Voltages in V, None where not seen.

    ``before_v``: ahead of the fall; ``lowest_v``: the lowest sample, an upper bound of the dip where sampling was slow;
    ``cranking_v``: held while the starter turned, only where sampled fast; ``rested``: after hours of standing.
    """

    time: datetime
    before_v: float | None = None
    lowest_v: float | None = None
    cranking_v: float | None = None
    rested: bool = False


def watch(
    starts: Starts,
    time: datetime,
    *,
    voltage: float | None,
    engine_speed: float | None,
    charging: bool,
    rested: bool,
    fast_s: float,
) -> Start | None:
    """Take one sample, not older than the last; the start it completes.

    ``charging``: the voltage is one that only a charging battery has; ``fast_s``: samples that close on
    average see the dip.
    """
    if starts.seen is not None and (time - starts.seen).total_seconds() > _UNSEEN_S:
        starts.running = False if starts.running is False else None
        starts.running_since = None
        starts.fall_at = None
    starts.seen = time
    if starts.fall_at is not None and (time - starts.fall_at).total_seconds() > _CONFIRM_S:
        starts.fall_at = None
    if voltage is not None and not starts.running and not charging:
        _take_voltage(starts, time, voltage, engine_speed, rested=rested)
    if voltage is not None:
        starts.voltage_at = time
    return _completed(starts, time, engine_speed, charging=charging, fast_s=fast_s)


def _completed(
    starts: Starts, time: datetime, engine_speed: float | None, *, charging: bool, fast_s: float
) -> Start | None:
    was = starts.running
    # Half a dozen samples late by some milliseconds do no harm, a hole does.
    dense = starts.within_s <= starts.within * fast_s and starts.longest_s <= _HOLE * fast_s
    fast = starts.fall_at is not None and dense
    if engine_speed is not None:
        starts.speed_told = True
        if engine_speed >= RUNNING_RPM:
            starts.running = True
            starts.running_since = starts.running_since or time
        elif engine_speed < _STANDING_RPM:
            starts.running, starts.running_since = False, None
    by_speed = was is False and starts.running is True
    # Known from the dip alone where nothing was heard of the engine before: the dongle woke with the car.
    unseen = was is None and starts.running is True and fast
    by_voltage = not starts.speed_told and charging and fast and starts.ended
    return _start(starts, time, fast=fast) if by_speed or unseen or by_voltage else None


def _start(starts: Starts, time: datetime, *, fast: bool) -> Start:
    starts.starts += 1
    fell = starts.fall_at is not None
    cranking_v = starts.sum_v / starts.count if fast and starts.count >= _LEAST_SAMPLES else None
    if cranking_v is not None:
        starts.fast_starts += 1
    start = Start(
        time=time,
        before_v=starts.fall_from_v if fell else starts.before_v,
        lowest_v=starts.lowest_v if fell else None,
        cranking_v=cranking_v,
        rested=fell and starts.rested,
    )
    starts.fall_at = starts.before_v = starts.before_at = None
    return start


def _take_voltage(starts: Starts, time: datetime, voltage: float, engine_speed: float | None, *, rested: bool) -> None:
    gap_s = _seconds(starts.voltage_at, time)
    if starts.fall_at is not None and not starts.ended:
        _follow_fall(starts, starts.fall_at, time, voltage, gap_s)
    elif (
        starts.before_v is not None
        and starts.before_v - voltage >= FALL_V
        and _seconds(starts.before_at, time) <= _BEFORE_S
    ):
        starts.fall_at, starts.fall_from_v, starts.lowest_v = time, starts.before_v, voltage
        starts.rested, starts.ended = rested, False
        starts.within, starts.within_s, starts.longest_s = 1, min(gap_s, _BEFORE_S), min(gap_s, _BEFORE_S)
        starts.sum_v, starts.count = 0.0, 0
    elif engine_speed is None or engine_speed < _STANDING_RPM:
        starts.before_v, starts.before_at = voltage, time


def _follow_fall(starts: Starts, fall_at: datetime, time: datetime, voltage: float, gap_s: float) -> None:
    since_s = (time - fall_at).total_seconds()
    if voltage >= starts.fall_from_v - _RECOVERED_V:
        starts.ended = True
        starts.before_v, starts.before_at = voltage, time
    elif since_s > _LONGEST_CRANKING_S:
        starts.fall_at = None
        starts.before_v, starts.before_at = voltage, time
    else:
        starts.lowest_v = min(starts.lowest_v, voltage)
        if since_s <= _CRANKING_S:
            starts.within += 1
            starts.within_s += gap_s
            starts.longest_s = max(starts.longest_s, gap_s)
            if since_s >= _INRUSH_S:
                starts.sum_v += voltage
                starts.count += 1


def _seconds(earlier: datetime | None, time: datetime) -> float:
    return float("inf") if earlier is None else (time - earlier).total_seconds()
