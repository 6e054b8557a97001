import math
import random
from datetime import UTC, datetime, timedelta

import pytest

from health import signals
from health.errors import HealthError
from health.tires import Tires
from telemetry.records import Estimate, Sample

START = datetime(2026, 3, 1, tzinfo=UTC)


def drive(
    tires: Tires,
    days: float,
    *,
    loss: dict[str, float] | None = None,
    temperatures: bool = False,
    wheels: tuple[str, ...] = signals.WHEELS,
    step: float = 1.0,
    noise: float = 0.5,
    refill: float = math.inf,
    start: float = 0.0,
) -> None:
    """Weather of +/-8 K by day; whole kPa; ten samples each three hours."""
    rng = random.Random(9)
    for turn in range(int(days * 8)):
        for index in range(10):
            day = start + turn / 8 + index / 8640
            celsius = 12 + 8 * math.sin(2 * math.pi * day) + 0.5 * day
            values: dict[str, float] = {}
            for wheel in wheels:
                at20 = 230 - (loss or {}).get(wheel, 0.0) * (day - (refill if day >= refill else 0.0))
                pressure = (at20 + 101.3) * (celsius + 273.15) / 293.15 - 101.3 + rng.gauss(0, noise)
                values[signals.TIRE_PRESSURE[wheel].path] = round(pressure / step) * step
                if temperatures:
                    values[signals.TIRE_TEMPERATURE[wheel].path] = float(round(celsius))
            tires.update(Sample(time=START + timedelta(days=day), monotonic_ms=0, values=values))


def rates(tires: Tires) -> dict[str, Estimate]:
    return {estimate.position: estimate for estimate in tires.estimates(START + timedelta(days=30))}


@pytest.mark.parametrize("temperatures", [False, True])
@pytest.mark.parametrize("step", [1.0, 2.5])
def test_a_slow_leak_is_found_at_its_wheel(temperatures: bool, step: float) -> None:
    tires = Tires()
    drive(tires, 8, loss={"Row2.Right": 4.0}, temperatures=temperatures, step=step)
    found = rates(tires)
    assert found["Row2.Right"].value == pytest.approx(4.0, abs=0.5)
    assert found["Row2.Right"].low > 2
    for wheel in ("Row1.Left", "Row1.Right", "Row2.Left"):
        assert abs(found[wheel].value) < 0.7
        assert found[wheel].low < 0.5 < found[wheel].high + 0.5


def test_weather_is_no_leak() -> None:
    tires = Tires()
    drive(tires, 10)
    assert all(abs(estimate.value) < 0.4 for estimate in rates(tires).values())


def test_three_days_of_data_before_anything_is_said() -> None:
    tires = Tires()
    drive(tires, 2.9, loss={"Row1.Left": 10})
    assert rates(tires) == {}
    drive(tires, 1.5, loss={"Row1.Left": 10}, start=2.9)
    found = rates(tires)["Row1.Left"]
    assert found.low < 10 < found.high


def test_early_rates_are_less_certain() -> None:
    early, late = Tires(), Tires()
    drive(early, 3.5)
    drive(late, 10)
    width = [rates(tires)["Row1.Left"].high - rates(tires)["Row1.Left"].low for tires in (early, late)]
    assert width[0] > 2 * width[1]


def test_pumping_up_does_not_hide_the_leak() -> None:
    tires = Tires()
    drive(tires, 12, loss={"Row1.Right": 5.0}, refill=6)
    assert rates(tires)["Row1.Right"].value == pytest.approx(5.0, abs=0.8)


def test_two_wheels_need_their_own_temperature() -> None:
    wheels = ("Row1.Left", "Row1.Right")
    blind, warm = Tires(), Tires()
    drive(blind, 5, wheels=wheels, loss={"Row1.Left": 3})
    drive(warm, 5, wheels=wheels, loss={"Row1.Left": 3}, temperatures=True)
    assert rates(blind) == {}
    assert rates(warm)["Row1.Left"].value == pytest.approx(3, abs=0.6)
    assert rates(warm)["Row1.Left"].method == "tire_pressure_rls/2+own"


def test_a_reset_forgets() -> None:
    tires = Tires()
    drive(tires, 3)
    tires.reset(START + timedelta(days=3), "winter tyres fitted")
    assert rates(tires) == {}
    with pytest.raises(HealthError, match="needs a reason"):
        tires.reset(START, "")
