"""What the power plan does and has cost, for people: read beside a running agent, nothing is locked or written."""

import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from edge_agent.errors import OutboxError
from edge_agent.power.accounts import Day
from edge_agent.power.battery import tier_of
from edge_agent.power.config import PowerConfig
from edge_agent.power.memory import STATE_NAME, Memory
from edge_agent.power.records import PowerState

_DAYS: Final = 8  # today and a week


@dataclass(frozen=True, kw_only=True)
class DayCost:
    """One day (UTC): mAh from the battery of the parked car and while it was in use, planned wakes, checks."""

    day: str
    parked_mah: float
    in_use_mah: float
    wakes: int
    checks: int


@dataclass(frozen=True, kw_only=True)
class PowerReport:
    """State with its reason, thresholds in V, the battery, what is left to spend in mAh, and the last days.

    ``next_wake`` None: none is planned. ``sign_of_life``: whether a parked car has ever shown anything by itself.
    """

    mode: str
    state: str
    why: str
    since: datetime | None
    saved: datetime | None
    voltage: float | None
    voltage_at: datetime | None
    usable_percent: float | None
    tier: str | None
    thresholds: dict[str, float]
    parking_mah: float
    parking_left_mah: float
    purse_mah: float
    next_wake: datetime | None
    sign_of_life: bool
    days: tuple[DayCost, ...]


def read_memory(outbox: Path) -> Memory | None:
    """The governor's memory in an outbox; None where it never ran there. OutboxError if it cannot be read."""
    if not outbox.is_file():
        raise OutboxError(f"{outbox}: there is no outbox; has the agent run with this configuration?")
    try:
        with closing(sqlite3.connect(f"{outbox.absolute().as_uri()}?mode=ro", uri=True)) as database:
            row = database.execute("SELECT content FROM state WHERE name = ?", (STATE_NAME,)).fetchone()
    except sqlite3.Error as error:
        raise OutboxError(f"{outbox}: cannot be read as an outbox: {error}") from error
    try:
        return None if row is None else Memory.from_json(msgspec.json.decode(row[0]))
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise OutboxError(f"{outbox}: what it holds of power is of another version: {error}") from error


def power_report(config: PowerConfig, memory: Memory, now: datetime) -> PowerReport:
    """The memory in words and figures, as of its last save."""
    settings, accounts = config.settings, memory.accounts
    days = [(now - timedelta(days=back)).date().isoformat() for back in range(_DAYS)]
    planned = memory.wake_in_s if memory.state in {PowerState.ASLEEP, PowerState.PARKED} else None
    tier = None if memory.rested_percent is None else tier_of(memory.rested_percent, settings.tiers)
    return PowerReport(
        mode=config.mode,
        state=memory.state.value,
        why=memory.why,
        since=memory.since,
        saved=memory.saved,
        voltage=memory.voltage,
        voltage_at=memory.voltage_at,
        usable_percent=memory.rested_percent,
        tier=None if tier is None else tier.name,
        thresholds={
            "protect_below_v": settings.protect_below_v,
            "off_below_v": round(settings.off_below_v, 3),
            "sleep_below_v": settings.sleep_below_v,
            "wake_above_v": settings.wake_above_v,
        },
        parking_mah=settings.parking_mah,
        parking_left_mah=max(0.0, settings.parking_mah - accounts.parking_mah),
        purse_mah=accounts.purse_mah,
        next_wake=None if planned is None or memory.saved is None else memory.saved + timedelta(seconds=planned),
        sign_of_life=memory.heard,
        days=tuple(_cost(day, accounts.days[day]) for day in days if day in accounts.days),
    )


def _cost(name: str, day: Day) -> DayCost:
    return DayCost(
        day=name,
        parked_mah=round(day.parked_mah, 1),
        in_use_mah=round(day.in_use_mah, 1),
        wakes=day.wakes,
        checks=day.checks,
    )


def as_json(report: PowerReport) -> dict[str, object]:
    """The report as JSON values."""
    return asdict(report)
