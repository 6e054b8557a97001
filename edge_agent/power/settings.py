"""Everything the governor is told, resolved from ``agent.yaml`` and the hardware profile. Data and its checks only."""

from dataclasses import dataclass
from typing import Final, Literal

from edge_agent.errors import ConfigurationError
from edge_agent.power.battery import AGM_OFFSET_V, Chemistry, Tier
from firmware_profiles.profile import OffWhen

Mode = Literal["governed", "supplied", "off"]
MODES: Final[tuple[Mode, ...]] = ("governed", "supplied", "off")

# Half full and no cold: below it a starter battery ages, and an old one may not turn the engine on a cold morning.
FLOOR_V: Final = 12.2
DEFAULT_TIERS: Final = (
    Tier(name="full", least_percent=70.0, mah_per_day=160.0, wakes_per_day=2.0),
    Tier(name="fair", least_percent=55.0, mah_per_day=80.0, wakes_per_day=1.0),
    Tier(name="low", least_percent=40.0, mah_per_day=20.0, wakes_per_day=1 / 3),
)


@dataclass(frozen=True, kw_only=True)
class PowerSettings:
    """Thresholds in V, times in s, currents in mA at 12 V, charge in mAh.

    ``governed`` False: the board does not live off the 12 V battery; the car is left in peace all the same, but nothing
    is budgeted or cut. ``protect_below_v``: a battery at rest below it gets nothing taken from it; ``sensor_error_v``:
    how wrong the voltage may be, so much earlier the agent stops. ``parking_mah``: all that one parking may cost with
    the power on. ``car_awake_ma``: what a car's ECUs draw when they were woken to answer; it counts as ours.
    ``ask_every_s``: a parked car that gives no sign of life by itself is asked so often, as far as the purse reaches.
    """

    governed: bool = True
    off_when: OffWhen = "protected"
    awake_ma: float = 285.0
    idle_ma: float = 285.0
    off_ma: float = 30.0
    sleep_below_v: float = 12.9
    sleep_hold_s: float = 60.0
    wake_above_v: float = 13.3
    wake_hold_s: float = 3.0
    protect_below_v: float = FLOOR_V
    protect_hold_s: float = 120.0  # longer than a starter's dip
    sensor_error_v: float = 0.2
    chemistry: Chemistry = "flooded"
    parking_mah: float = 3000.0
    tiers: tuple[Tier, ...] = DEFAULT_TIERS
    car_awake_ma: float = 3000.0
    ask_every_s: float | None = None

    first_look_s: float = 600.0  # just plugged in: whoever fits it wants to see values
    standing_s: float = 600.0  # engine off, but something charges the 12 V battery: a traffic jam in an electric car
    charging_end_s: float = 60.0
    silent_s: float = 5.0  # asked and not answered so long: its ECUs sleep
    check_s: float = 15.0  # how long a car that stirred is asked, from its first answer or failure on
    reach_s: float = 45.0  # at most until then: an adapter takes its time to find the car
    linger_s: float = 180.0  # after a trip: its end is told and sent
    send_s: float = 600.0  # at most, where the broker is slow or away
    planned_s: float = 180.0  # at most, of a planned wake
    planned_least_s: float = 20.0  # a network needs that long
    watch_s: float = 60.0  # after a start, before the power is cut again
    boot_s: float = 30.0
    rest_s: float = 7200.0  # until the surface charge of a drive is gone
    blind_s: float = 3 * 86_400.0  # so long a battery whose voltage nobody measures is believed to be well
    charger_s: float = 86_400.0  # so long a charging voltage of a standing car is believed; then the sensor is doubted
    recharge_ma: float = 3000.0  # what a drive puts back, at the least

    def __post_init__(self) -> None:
        if self.sleep_below_v >= self.wake_above_v:
            raise ConfigurationError(
                f"power: sleep_below_v {self.sleep_below_v:g} is not below wake_above_v {self.wake_above_v:g}; "
                "one threshold would wake and sleep in turn"
            )
        if self.off_below_v >= self.sleep_below_v:
            raise ConfigurationError(
                f"power: protect_below_v {self.protect_below_v:g} with sensor_error_v {self.sensor_error_v:g} reaches "
                f"sleep_below_v {self.sleep_below_v:g}: even a full battery would count as empty; lower one of them"
            )
        least = FLOOR_V - 0.2 + (AGM_OFFSET_V if self.chemistry == "agm" else 0.0)
        if self.protect_below_v < least:
            raise ConfigurationError(
                f"power: protect_below_v {self.protect_below_v:g} is below {least:g}: such a battery may not start the "
                "car; choose a higher one, or mode: supplied if the board does not live off this battery"
            )

    @property
    def off_below_v(self) -> float:
        """Voltage as measured below which the agent takes nothing more."""
        return self.protect_below_v + self.sensor_error_v

    @property
    def charged_v(self) -> float:
        """Voltage as measured at which something surely charges the battery."""
        return self.wake_above_v + self.sensor_error_v

    @property
    def wake_mah(self) -> float:
        """What a planned wake costs."""
        return self.awake_ma * (self.boot_s + self.planned_s) / 3600

    @property
    def check_mah(self) -> float:
        """What asking a parked car costs, its woken ECUs included."""
        return (self.awake_ma + self.car_awake_ma) * self.check_s / 3600
