"""What may still be taken from the 12 V battery of a parked car, and when. Pure; counts with the memory's accounts."""

from typing import Final

from edge_agent.power.battery import Tier, tier_of, usable_percent
from edge_agent.power.memory import Memory
from edge_agent.power.settings import PowerSettings
from edge_agent.power.signs import Sign

_DAY_S: Final = 86_400.0
_FRESH_S: Final = 120.0  # a voltage older than this says nothing of now
_CREDIT_S: Final = 2 * 3600.0  # between two checks on credit, doubled each time
_LONGEST_CREDIT_S: Final = 24 * 3600.0


class Budget:
    """Voltage, tier, plan and permissions. Seconds are monotonic."""

    def __init__(self, settings: PowerSettings, memory: Memory) -> None:
        self._settings = settings
        self._memory = memory
        self._voltage_at: float | None = None
        self._low_since: float | None = None
        self._credit_at = float("-inf")
        self._credits = 0

    # --- the voltage ---

    def measured(self, now: float, voltage: float, *, counts_as_low: bool) -> None:
        """A voltage was seen; of a car in use a low one says nothing of the battery."""
        self._memory.voltage, self._memory.blind_s = voltage, 0.0
        self._voltage_at = now
        low = counts_as_low and voltage < self._settings.off_below_v
        self._low_since = None if not low else now if self._low_since is None else self._low_since

    def rested(self, voltage: float) -> None:
        """A voltage was seen that is the battery's own: nothing charges or loads it."""
        self._memory.rested_percent = usable_percent(
            voltage - self._settings.sensor_error_v,
            temperature=self._memory.temperature,
            chemistry=self._settings.chemistry,
        )

    def voltage(self, now: float) -> float | None:
        """The voltage of now, if there is one."""
        return self._memory.voltage if self._voltage_at is not None and now - self._voltage_at <= _FRESH_S else None

    def low(self, now: float) -> bool:
        """Whether it has been below the threshold for its hold time."""
        return self._low_since is not None and now - self._low_since >= self._settings.protect_hold_s

    def held_up(self, now: float) -> bool:
        """Whether something keeps the voltage above that of a battery at rest."""
        voltage = self.voltage(now)
        return voltage is not None and voltage >= self._settings.sleep_below_v

    def charged(self, now: float) -> bool:
        """Whether something surely charges the battery: not for ever, since a sensor may be wrong."""
        voltage = self.voltage(now)
        believed = self._memory.charged_s < self._settings.charger_s
        return voltage is not None and voltage >= self._settings.charged_v and believed

    # --- the plan ---

    def tier(self) -> Tier | None:
        """As rested; before a first rest the middle one, since a drive's surface charge looks full. None: exhausted."""
        tiers = self._settings.tiers
        if self._memory.rested_percent is None:
            return tiers[len(tiers) // 2]
        return tier_of(self._memory.rested_percent, tiers)

    def refill(self, seconds: float) -> None:
        """Time passes; the purse fills."""
        tier = self.tier()
        per_day = 0.0 if tier is None else tier.mah_per_day
        # A day's worth, but always enough for one check and one wake: else a small purse could never pay for them.
        most_mah = max(per_day, self._settings.check_mah + self._settings.wake_mah) if per_day > 0 else 0.0
        self._memory.accounts.refill(seconds, mah_per_day=per_day, most_mah=most_mah)

    def plan(self) -> None:
        """When to wake next: as often as the tier allows and its charge pays for."""
        tier = self.tier()
        per_day = 0.0 if tier is None else min(tier.wakes_per_day, tier.mah_per_day / self._settings.wake_mah)
        if tier is None or per_day <= 0:
            self._memory.wake_in_s = None
            return
        short_mah = self._settings.wake_mah - self._memory.accounts.purse_mah
        self._memory.wake_in_s = max(_DAY_S / per_day, _DAY_S * short_mah / tier.mah_per_day)

    # --- permissions ---

    def exhausted(self, now: float) -> str | None:
        """Why nothing more may be taken; None while something may."""
        settings, memory = self._settings, self._memory
        if not settings.governed:
            return None
        if self.low(now):
            return f"the 12 V battery is below {settings.off_below_v:g} V"
        if memory.accounts.parking_mah >= settings.parking_mah:
            return f"this parking has cost its {settings.parking_mah:g} mAh"
        if memory.blind_s >= settings.blind_s:
            return "nobody has measured the 12 V battery for days"
        if self._worn_down():
            return f"the 12 V battery has {memory.rested_percent or 0:.0f} % left to give"
        return None

    def empty(self, now: float) -> bool:
        """Whether it is the battery that has nothing to give, and not an allowance that is spent."""
        return self.low(now) or self._worn_down()

    def _worn_down(self) -> bool:
        return self._memory.parked_s >= self._settings.rest_s and self.tier() is None

    def may_wake(self, now: float) -> bool:
        """A planned wake needs its charge in the purse, and a voltage that is not low just now."""
        if not self._settings.governed:
            return True
        voltage = self.voltage(now)
        low = voltage is not None and voltage < self._settings.off_below_v
        return not low and self._memory.accounts.purse_mah >= self._settings.wake_mah

    def may_check(self, now: float, sign: Sign, *, paused: bool, sustained: bool, protected: bool) -> bool:
        """All is paid for, and the next planned wake with it.

        Without charge a voltage that proves charging is looked into, unless that was in vain of late; and a bus that
        does not fall silent, on a credit ever rarer. A protected battery whose voltage is known has no credit.
        """
        if not self._settings.governed:
            return True
        needed_mah = self._settings.check_mah + self._settings.wake_mah
        spared = protected or self.exhausted(now) is not None
        if not spared and self._memory.accounts.purse_mah >= needed_mah:
            return True
        if sign == "level":
            return not paused
        if (spared and self.voltage(now) is not None) or not sustained or now < self._credit_at:
            return False
        self._credit_at = now + min(_CREDIT_S * 2.0 ** min(self._credits, 20), _LONGEST_CREDIT_S)
        self._credits += 1
        return True

    def used(self) -> None:
        """The car was used: credit is given anew."""
        self._credits, self._credit_at = 0, float("-inf")
