"""The section ``power`` of ``agent.yaml``: what is not said there comes from the hardware profile. Reading only."""

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, cast

from edge_agent.errors import ConfigurationError
from edge_agent.power.battery import AGM_OFFSET_V, CHEMISTRIES, Chemistry
from edge_agent.power.settings import DEFAULT_TIERS, FLOOR_V, MODES, Mode, PowerSettings
from edge_agent.section import Section
from firmware_profiles.errors import FirmwareProfilesError
from firmware_profiles.loader import load_hardware_profile
from firmware_profiles.profile import OffWhen, PowerPlan

# What each key means, as docs/installers.md has it; a test holds both against what is read here.
KEYS: Final = {
    "mode": "governed, supplied or off; see above",
    "protect_below_v": "a battery resting below it gets nothing taken from it (AGM: 0.15 V higher)",
    "sensor_error_v": "how wrong the measured voltage may be: so much earlier the agent stops",
    "battery": "flooded or agm",
    "sleep_below_v": "below it nothing charges the 12 V system",
    "sleep_hold": "engine off for so long: the car is parked",
    "wake_above_v": "above it something charges the 12 V system",
    "wake_hold": "for so long: the car may be in use",
    "parking_mah": "all that one parking may cost with the board on",
    "mah_per_day": "for planned wakes and checks, by the battery's state: full, fair, low",
    "wakes_per_day": "planned wakes, by the battery's state: full, fair, low",
    "car_awake_ma": "what the car's ECUs draw when a check wakes them; it counts as ours",
    "ask_every": "ask a parked car that often, where it shows no sign of life by itself; absent: never",
    "awake_ma": "current at 12 V while reading or sending",
    "idle_ma": "current at 12 V parked with the board on",
    "off_ma": "current at 12 V with the board's power cut",
    "off_command": "cuts the board's power; {wake_in_s} in it: seconds until it is wanted back, 0: when the car wakes",
    "off_when": "asleep: the controller gives the power back; protected: only a person can",
    "voltage": "where the 12 V voltage is measured: {file, scale} or {adapter, baud}",
    "ignition": "a line that is on with the ignition: {file, on}",
}


@dataclass(frozen=True, kw_only=True)
class VoltageSource:
    """Where the voltage is measured: a file with a number and its scale, or an ELM327 at a port."""

    file: Path | None = None
    scale: float = 1.0
    adapter: str | None = None
    baud: int = 38_400


@dataclass(frozen=True, kw_only=True)
class IgnitionSource:
    """A file that holds ``on`` while the ignition is on."""

    file: Path
    on: str = "1"


@dataclass(frozen=True, kw_only=True)
class PowerConfig:
    """What ``agent.yaml`` and the hardware profile say of power."""

    mode: Mode = "off"
    settings: PowerSettings = field(default_factory=PowerSettings)
    off_command: tuple[str, ...] = ()
    voltage: VoltageSource | None = None
    ignition: IgnitionSource | None = None


def read_power(root: Section, *, recorded: bool) -> PowerConfig:
    """Of the keys ``hardware_profile`` and ``power``; ``recorded``: there is no car, so nothing is saved."""
    plan = _plan(root)
    section = root.section("power", optional=True)
    mode = cast("Mode", section.choice("mode", MODES, "off" if plan is None or recorded else "governed"))
    if recorded and mode != "off":
        raise section.error("mode", "a recording is no car: leave it out")
    command = _command(section, plan)
    config = PowerConfig(
        mode=mode,
        settings=_settings(section, plan, mode),
        off_command=command,
        voltage=_voltage(section),
        ignition=_ignition(section),
    )
    section.done()
    if mode == "governed" and not command:
        raise section.error(
            "off_command",
            "is missing, and so is any way to stop the board from draining the battery; name the command that cuts its "
            "power (such as 'systemctl poweroff'), or say mode: supplied if the board does not live off this battery",
        )
    return config


def _plan(root: Section) -> PowerPlan | None:
    if not root.has("hardware_profile"):
        return None
    name = root.text("hardware_profile")
    file = root.folder / name
    try:
        return load_hardware_profile(file if file.is_file() else name).power
    except FirmwareProfilesError as error:
        raise root.error("hardware_profile", str(error)) from error


def _settings(section: Section, plan: PowerPlan | None, mode: Mode) -> PowerSettings:
    usual = PowerSettings()
    if plan is not None:
        usual = replace(
            usual,
            **{
                name: getattr(plan, name)
                for name in (
                    *("sleep_below_v", "sleep_hold_s", "wake_above_v", "wake_hold_s"),
                    *("awake_ma", "idle_ma", "off_ma", "off_when"),
                )
            },
        )
    chemistry = cast("Chemistry", section.choice("battery", CHEMISTRIES, usual.chemistry))
    floor_v = FLOOR_V + (AGM_OFFSET_V if chemistry == "agm" else 0.0)
    daily, wakes = section.section("mah_per_day", optional=True), section.section("wakes_per_day", optional=True)
    tiers = tuple(
        replace(
            tier,
            mah_per_day=daily.number(tier.name, tier.mah_per_day, minimum=0.0),
            wakes_per_day=wakes.number(tier.name, tier.wakes_per_day, minimum=0.0),
        )
        for tier in DEFAULT_TIERS
    )
    daily.done()
    wakes.done()
    try:
        return PowerSettings(
            governed=mode != "supplied",
            off_when=cast("OffWhen", section.choice("off_when", ("asleep", "protected"), usual.off_when)),
            awake_ma=section.number("awake_ma", usual.awake_ma, minimum=1.0),
            idle_ma=section.number("idle_ma", usual.idle_ma, minimum=0.0),
            off_ma=section.number("off_ma", usual.off_ma, minimum=0.0),
            sleep_below_v=section.number("sleep_below_v", usual.sleep_below_v, minimum=6.0),
            sleep_hold_s=section.duration("sleep_hold", usual.sleep_hold_s),
            wake_above_v=section.number("wake_above_v", usual.wake_above_v, minimum=6.0),
            wake_hold_s=section.duration("wake_hold", usual.wake_hold_s),
            protect_below_v=section.number("protect_below_v", floor_v, minimum=6.0),
            sensor_error_v=section.number("sensor_error_v", usual.sensor_error_v, minimum=0.0),
            chemistry=chemistry,
            parking_mah=section.number("parking_mah", usual.parking_mah, minimum=0.0),
            tiers=tiers,
            car_awake_ma=section.number("car_awake_ma", usual.car_awake_ma, minimum=0.0),
            ask_every_s=section.duration("ask_every") if section.has("ask_every") else None,
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{section.where}: {error}") from None


def _command(section: Section, plan: PowerPlan | None) -> tuple[str, ...]:
    if not section.has("off_command"):
        return () if plan is None else plan.off_command
    try:
        return tuple(shlex.split(section.text("off_command")))
    except ValueError as error:
        raise section.error("off_command", f"cannot be split into words: {error}") from None


def _voltage(section: Section) -> VoltageSource | None:
    if not section.has("voltage"):
        return None
    part = section.section("voltage")
    source = VoltageSource(
        file=part.path("file") if part.has("file") else None,
        scale=part.number("scale", 1.0),
        adapter=part.text("adapter") if part.has("adapter") else None,
        baud=part.integer("baud", 38_400, minimum=1200),
    )
    part.done()
    if (source.file is None) == (source.adapter is None):
        raise ConfigurationError(f"{part.where}: give either file (with scale) or adapter")
    return source


def _ignition(section: Section) -> IgnitionSource | None:
    if not section.has("ignition"):
        return None
    part = section.section("ignition")
    source = IgnitionSource(file=part.path("file"), on=part.text("on", "1"))
    part.done()
    return source
