import pytest

from health import signals
from health.oil.speed import EngineSpeedWatch, watch_engine_speed
from health.oil_life import OilLife, OilLifeParameters
from telemetry.records import EventKind, Limitation
from tests.unit.health.oil_support import at, sample


def watched(engine_speeds: list[float], speeds: list[float | None]) -> bool:
    watch = EngineSpeedWatch()
    found = [watch_engine_speed(watch, rpm, speed, 10.0) for rpm, speed in zip(engine_speeds, speeds, strict=True)]
    return found[-1]


@pytest.mark.parametrize(
    ("engine_speeds", "speeds", "stuck"),
    [
        ([2000.0] * 30, [float(30 + index) for index in range(30)], True),
        ([2000.0] * 30, [50.0] * 30, False),  # a steady car
        ([2000.0] * 30, [None] * 30, False),
        ([0.0] * 30, [float(30 + index) for index in range(30)], False),  # a hybrid on its battery
        ([2000.0 + index / 4 for index in range(30)], [float(30 + index) for index in range(30)], False),
    ],
)
def test_an_engine_speed_that_stands_while_the_car_does_not(
    engine_speeds: list[float], speeds: list[float | None], *, stuck: bool
) -> None:
    assert watched(engine_speeds, speeds) is stuck


def test_a_stuck_engine_speed_is_told_once_and_widens_the_interval() -> None:
    good, stuck = (OilLife(OilLifeParameters(life_at_start=100, budget_revolutions=1e6)) for _ in range(2))
    for second in range(0, 3600, 10):
        speed = 30.0 + second % 300 / 6
        good.update(sample(second, rpm=1500 + second % 300, speed=speed, oil=90))
        stuck.update(sample(second, rpm=1650, speed=speed, oil=90))
    assert good.findings() == ()
    (event,) = stuck.findings()
    assert event.kind is EventKind.SIGNAL_DOUBTED
    assert event.data["signal"] == signals.ENGINE_SPEED.path
    wide, narrow = stuck.estimates(at(0))[0], good.estimates(at(0))[0]
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    assert wide.limited_by == Limitation.DOUBTFUL_READINGS
