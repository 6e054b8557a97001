"""What a virtual car is and in what condition it starts: frozen records, also from plain data (YAML)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, cast, get_args

from edge_agent.errors import ConfigurationError
from edge_agent.obd.did import DidDefinition, definitions_from
from edge_agent.obd.fields import Fields

Kind = Literal["petrol", "diesel", "electric"]
# short_trips: starts, runs and stops every few seconds; parked: its ECUs sleep and do not answer; ignition_on: it
# stands with its engine off, and its ECUs answer.
Activity = Literal["driving", "short_trips", "parked", "ignition_on"]
# obd: services 01 to 0A (SAE J1979); obd_on_uds: the same by UDS 22, 19 and 14 (SAE J1979-2).
Diagnostics = Literal["obd", "obd_on_uds"]
Fault = Literal["misfire", "slow_leak", "weak_12v", "worn_pads", "oil_worn", "fading_battery"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
WHEELS = ("Row1.Left", "Row1.Right", "Row2.Left", "Row2.Right")


@dataclass(frozen=True, kw_only=True)
class CarCondition:
    """What is true of the car now. Wheels in the order of :data:`WHEELS`."""

    odometer_km: float = 42_000.0
    oil_life_percent: float = 70.0  # remaining
    pad_wear_percent: tuple[float, float, float, float] = (40.0, 38.0, 30.0, 29.0)  # 100 = worn out
    tire_pressure_kpa: tuple[float, float, float, float] = (230.0, 230.0, 225.0, 225.0)  # gauge, at 20 degrees Celsius
    low_voltage_health_percent: float = 90.0  # 100 = new, 0 = will not crank
    low_voltage_charge_percent: float = 92.0
    soh_percent: float = 94.0  # of the traction battery
    soc_percent: float = 70.0
    fuel_level_percent: float = 65.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            values = value if isinstance(value, tuple) else (value,)
            if item.name in {"pad_wear_percent", "tire_pressure_kpa"} and len(values) != len(WHEELS):
                raise ConfigurationError(f"condition.{item.name}: give four numbers, {', '.join(WHEELS)}")
            high = 100.0 if item.name.endswith("_percent") else 4_000_000.0
            if not all(0.0 <= number <= high for number in values):
                raise ConfigurationError(f"condition.{item.name}: {value} is outside 0 to {high:g}")


@dataclass(frozen=True, kw_only=True)
class Aging:
    """How fast things wear in ordinary use."""

    oil_life_km: float = 15_000.0
    pad_life_km: float = 48_000.0  # of the front pads in mixed use; the rear ones last longer
    tire_leak_kpa_per_day: float = 0.05  # every tyre
    first_tire_leak_kpa_per_day: float = 0.0  # in addition, Row1.Left
    low_voltage_health_percent_per_day: float = 0.03
    soh_percent_per_day: float = 0.005
    soh_percent_per_cycle: float = 0.006  # one full equivalent cycle


@dataclass(frozen=True, kw_only=True)
class WearAcceleration:
    """Accelerated life of the live car, per second of real time, on top of ordinary use; not applied to histories."""

    oil_percent_per_s: float = 0.0
    pad_percent_per_s: float = 0.0  # front left; the others in proportion
    tire_kpa_per_s: float = 0.0  # front left
    soh_percent_per_s: float = 0.0
    low_voltage_health_percent_per_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ScheduledFault:
    """A fault that comes by itself some seconds after the car went live."""

    at_s: float
    fault: Fault


@dataclass(frozen=True, kw_only=True)
class VirtualCarConfig:
    """One virtual car.

    ``vin`` 17 characters; ``seed`` makes drives and weather; ``dids`` are the maker's values its ECUs give (the same
    definitions the reading side is configured with); ``activity`` is what it does live; ``utc_offset_h`` moves the
    hours of driving and charging.
    """

    name: str
    vin: str
    kind: Kind = "petrol"
    seed: int = 1
    condition: CarCondition = field(default_factory=CarCondition)
    aging: Aging = field(default_factory=Aging)
    acceleration: WearAcceleration = field(default_factory=WearAcceleration)
    faults: tuple[Fault, ...] = ()
    schedule: tuple[ScheduledFault, ...] = ()
    dids: tuple[DidDefinition, ...] = ()
    activity: Activity = "driving"
    daily_km: float = 45.0  # on an ordinary working day
    battery_capacity_kwh: float = 64.0
    misfire_confirmed_after_s: float = 8.0
    utc_offset_h: float = 0.0
    identifier_bits: int = 11  # of its diagnostic CAN identifiers, 11 or 29
    diagnostics: Diagnostics = "obd"

    def __post_init__(self) -> None:
        if len(self.vin) != 17 or not self.vin.isascii() or not self.vin.isalnum():
            raise ConfigurationError(f"{self.name}.vin: {self.vin!r} has not 17 letters and digits")
        if self.kind not in get_args(Kind):
            raise ConfigurationError(f"{self.name}.kind: {self.kind!r} is none of {', '.join(get_args(Kind))}")
        if self.activity not in get_args(Activity):
            raise ConfigurationError(
                f"{self.name}.activity: {self.activity!r} is none of {', '.join(get_args(Activity))}"
            )
        for fault in (*self.faults, *(item.fault for item in self.schedule)):
            if fault not in FAULTS:
                raise ConfigurationError(f"{self.name}: unknown fault {fault!r}; known are {', '.join(FAULTS)}")
        if self.identifier_bits not in {11, 29}:
            raise ConfigurationError(f"{self.name}.identifier_bits: {self.identifier_bits} is neither 11 nor 29")
        if self.diagnostics not in get_args(Diagnostics):
            raise ConfigurationError(
                f"{self.name}.diagnostics: {self.diagnostics!r} is none of {', '.join(get_args(Diagnostics))}"
            )
        if self.daily_km < 0 or self.battery_capacity_kwh <= 0:
            raise ConfigurationError(f"{self.name}: daily_km is not negative, battery_capacity_kwh above 0")

    @classmethod
    def from_dict(cls, document: Mapping[str, object], where: str = "car") -> "VirtualCarConfig":
        """Build from plain data; ConfigurationError names the place in it and the nearest key."""
        keys = Fields(document, where)
        config = cls(
            name=keys.text("name"),
            vin=keys.text("vin"),
            kind=cast("Kind", _chosen(keys, "kind", get_args(Kind), "petrol")),
            seed=keys.integer("seed", 1),
            condition=_numbers(CarCondition(), keys.mapping("condition")),
            aging=_numbers(Aging(), keys.mapping("aging")),
            acceleration=_numbers(WearAcceleration(), keys.mapping("acceleration")),
            faults=tuple(fault_named(item, f"{where}.faults") for item in _list(keys, "faults")),
            schedule=tuple(_scheduled(Fields(item, place)) for item, place in keys.items("schedule")),
            dids=definitions_from(_list(keys, "dids"), where),
            activity=activity_from(keys),
            daily_km=keys.number("daily_km", 45.0),
            battery_capacity_kwh=keys.number("battery_capacity_kwh", 64.0),
            misfire_confirmed_after_s=keys.number("misfire_confirmed_after_s", 8.0),
            utc_offset_h=keys.number("utc_offset_h", 0.0),
            identifier_bits=keys.integer("identifier_bits", 11),
            diagnostics=cast("Diagnostics", _chosen(keys, "diagnostics", get_args(Diagnostics), "obd")),
        )
        keys.done()
        return config


def condition_to_dict(condition: CarCondition) -> dict[str, object]:
    """Plain data that :meth:`VirtualCarConfig.from_dict` takes as ``condition``."""
    return {
        item.name: list(value) if isinstance(value := getattr(condition, item.name), tuple) else value
        for item in fields(condition)
    }


def fault_named(value: object, where: str) -> Fault:
    """Give the fault of that name; ConfigurationError lists the names."""
    for fault in FAULTS:
        if fault == value:
            return fault
    raise ConfigurationError(f"{where}: unknown fault {value!r}; known are {', '.join(FAULTS)}")


def activity_from(keys: Fields) -> Activity:
    """Give what the car does of plain data, driving where nothing is said; ConfigurationError lists the choices."""
    return cast("Activity", _chosen(keys, "activity", get_args(Activity), "driving"))


def acceleration_from(keys: Fields) -> WearAcceleration:
    """Give the accelerated-life setting of plain data; what is not given is not accelerated."""
    return _numbers(WearAcceleration(), keys)


def _scheduled(keys: Fields) -> ScheduledFault:
    item = ScheduledFault(at_s=keys.number("at_s"), fault=fault_named(keys.text("fault"), keys.where))
    keys.done()
    return item


def _chosen(keys: Fields, key: str, choices: tuple[str, ...], default: str) -> str:
    value = keys.text(key, default)
    if value not in choices:
        raise ConfigurationError(f"{keys.where}.{key}: {value!r} is none of {', '.join(choices)}")
    return value


def _list(keys: Fields, key: str) -> Sequence[object]:
    value = keys.raw(key)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise ConfigurationError(f"{keys.where}.{key}: expected a list, found {type(value).__name__}")
    return value


_Record = TypeVar("_Record", CarCondition, Aging, WearAcceleration)


def _numbers(record: _Record, keys: Fields) -> _Record:
    """Replace the record's numbers by those given; a wheel's list must have four."""
    changes: dict[str, Any] = {}
    for item in fields(record):
        if item.name not in keys:
            keys.raw(item.name)
        elif isinstance(getattr(record, item.name), tuple):
            changes[item.name] = _four(keys, item.name)
        else:
            changes[item.name] = keys.number(item.name)
    keys.done()
    return replace(record, **changes)


def _four(keys: Fields, key: str) -> tuple[float, ...]:
    values = _list(keys, key)
    numbers = tuple(float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    if len(numbers) != len(WHEELS) or len(values) != len(WHEELS):
        raise ConfigurationError(f"{keys.where}.{key}: give four numbers, {', '.join(WHEELS)}")
    return numbers
