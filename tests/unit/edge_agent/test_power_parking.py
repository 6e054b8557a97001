"""Weeks of parking, simulated: whatever the settings, the battery, the cold and the car, it is not us who drain it."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from edge_agent.power.accounts import Accounts
from edge_agent.power.battery import Tier
from edge_agent.power.memory import Memory
from edge_agent.power.records import PowerState
from edge_agent.power.settings import PowerSettings
from edge_agent.power.simulation import Fitting, Outcome, ParkedBattery, Parking, SimulatedCar

DAY = 86_400.0
CUT = PowerSettings(off_when="asleep", awake_ma=165.0, idle_ma=165.0, off_ma=2.0)
UNCUT = replace(CUT, off_when="protected", off_ma=26.0)
LEAN = replace(UNCUT, idle_ma=1.0, parking_mah=50_000.0)  # nothing but what it does on purpose costs it anything


def park(
    car: SimulatedCar,
    battery: ParkedBattery,
    power: PowerSettings | None,
    fitting: Fitting | None = None,
    *,
    days: float = 7.0,
    floor_v: float = CUT.protect_below_v,
) -> Outcome:
    """A dongle that has just seen its car parked."""
    memory = Memory(state=PowerState.ASLEEP, accounts=Accounts(purse_mah=80.0))
    return Parking(car, battery, power, fitting, memory).run(days * DAY, floor_v)


# One by one


@pytest.mark.parametrize("days", [7, 30])
def test_a_week_and_a_month_cost_what_was_planned(days: int) -> None:
    ours = park(SimulatedCar(), ParkedBattery(), CUT, days=days)
    alone = park(SimulatedCar(), ParkedBattery(), None, days=days)
    assert 1 <= ours.wakes <= 2 * days
    assert ours.standby_mah == pytest.approx(2.0 * 24 * days, rel=0.01)
    assert ours.ours_mah - ours.standby_mah < 20 * days  # mAh: a board that is off but for its planned wakes
    assert alone.least_v - ours.least_v < 0.03
    assert ours.words_s <= CUT.check_s  # the look at the start


@pytest.mark.parametrize("offset", [-0.2, 0.0, 0.2])
@pytest.mark.parametrize("power", [CUT, UNCUT, replace(LEAN, idle_ma=20.0)], ids=["cut", "uncut", "lean"])
def test_a_battery_that_the_car_itself_empties_gets_nothing_taken_on_its_way_down(
    power: PowerSettings, offset: float
) -> None:
    car, battery = SimulatedCar(quiescent_ma=50), ParkedBattery(capacity_mah=45_000, soc_percent=62)
    ours = park(car, battery, power, Fitting(sensor_offset=offset), days=10)
    assert ours.below_s > DAY
    assert ours.ours_below_mah < 10.0  # one look: a board that was off cannot know how far the battery fell


def test_a_board_that_nothing_cuts_stops_for_good_once_its_allowance_is_spent() -> None:
    ours = park(SimulatedCar(), ParkedBattery(), UNCUT)
    assert ours.states[PowerState.PROTECTED] < 600
    assert ours.ours_mah - ours.standby_mah == pytest.approx(UNCUT.parking_mah, rel=0.03)
    assert ours.least_v > UNCUT.protect_below_v


@pytest.mark.parametrize("chatter_s", [0.0, 60.0, 300.0])
@pytest.mark.parametrize("offset", [None, 0.0], ids=["blind", "measured"])
def test_a_car_that_stirs_every_hour_is_asked_as_often_as_the_purse_pays_for(
    chatter_s: float, offset: float | None
) -> None:
    car = SimulatedCar(wakes_every_s=3600, awake_ma=3000, chatter_s=chatter_s)
    ours = park(car, ParkedBattery(capacity_mah=90_000, soc_percent=95), LEAN, Fitting(sensor_offset=offset), days=3)
    assert ours.words_s > LEAN.check_s
    purses_mah = 80.0 + 3 * 160.0
    assert ours.ours_mah < purses_mah + 2 * (chatter_s + LEAN.check_s) * 3000 / 3600
    assert ours.words_s < 3 * 24 * LEAN.check_s


def test_a_car_whose_bus_talks_for_as_long_as_it_is_asked_is_asked_ever_more_rarely() -> None:
    car = SimulatedCar(chatter_s=1200, awake_ma=500, wakes_every_s=6 * 3600)
    ours = park(car, ParkedBattery(), LEAN, Fitting(sensor_offset=None), days=2)
    assert ours.words_s < 30 * LEAN.check_s


@pytest.mark.parametrize("power", [CUT, UNCUT], ids=["cut", "uncut"])
@pytest.mark.parametrize(
    "fitting",
    [Fitting(), Fitting(sensor_offset=-0.1), Fitting(sensor_offset=0.2), Fitting(ignition_line=True)],
    ids=["measured", "too low", "too high", "ignition line"],
)
def test_every_drive_is_read_within_seconds(power: PowerSettings, fitting: Fitting) -> None:
    drives = tuple((day * DAY + 8.3 * 3600, 1200.0) for day in range(5))
    quiet = replace(power, idle_ma=20.0)
    ours = park(SimulatedCar(drives=drives), ParkedBattery(), quiet, fitting, days=5)
    assert len(ours.noticed_after_s) == 5
    assert max(ours.noticed_after_s) <= (power.boot_s + 10 if power is CUT else 5)
    assert ours.words_s < 5 * (power.standing_s + 60)


def test_a_smart_alternator_that_never_shows_is_told_by_the_bus() -> None:
    drives = tuple((day * DAY + 8.3 * 3600, 1200.0) for day in range(3))
    car = SimulatedCar(drives=drives, alternator=lambda _t: 12.5)
    ours = park(car, ParkedBattery(), replace(UNCUT, idle_ma=20.0), days=3)
    assert len(ours.noticed_after_s) == 3
    assert max(ours.noticed_after_s) <= 5


def test_a_silent_car_without_sensors_is_asked_only_if_that_was_wished() -> None:
    drives = ((2 * 3600.0, 3600.0),)
    car = SimulatedCar(drives=drives, bus_visible=False)
    blind = Fitting(sensor_offset=None)
    assert park(car, ParkedBattery(), LEAN, blind, days=1).noticed_after_s == []
    asking = replace(LEAN, ask_every_s=1800.0, car_awake_ma=500.0)
    (after,) = park(car, ParkedBattery(), asking, blind, days=1).noticed_after_s
    assert after <= 1800


@pytest.mark.parametrize("offset", [-2.0, 1.5, 2.0])
@pytest.mark.parametrize("power", [CUT, UNCUT], ids=["cut", "uncut"])
def test_a_sensor_that_is_plainly_wrong_costs_a_day_and_an_allowance_at_most(
    power: PowerSettings, offset: float
) -> None:
    ours = park(SimulatedCar(), ParkedBattery(), power, Fitting(sensor_offset=offset), days=14)
    believed = 24 * (power.idle_ma + 2 * power.check_mah)  # a day, with a look now and then
    assert ours.ours_mah - ours.standby_mah < power.parking_mah + believed
    assert ours.least_v > power.protect_below_v


# All at once


def amounts(least: float, most: float) -> st.SearchStrategy[float]:
    return st.floats(least, most, allow_nan=False)


@st.composite
def plans(draw: st.DrawFn) -> PowerSettings:
    daily = sorted(draw(st.lists(amounts(0, 500), min_size=3, max_size=3)), reverse=True)
    awake_ma = draw(amounts(50, 600))
    return PowerSettings(
        off_when=draw(st.sampled_from(("asleep", "protected"))),
        awake_ma=awake_ma,
        idle_ma=draw(amounts(10, awake_ma)),
        off_ma=draw(amounts(0, 30)),
        protect_below_v=draw(amounts(12.05, 12.4)),
        sensor_error_v=draw(amounts(0.2, 0.3)),
        parking_mah=draw(amounts(0, 6000)),
        tiers=tuple(
            Tier(name=name, least_percent=least, mah_per_day=mah, wakes_per_day=draw(amounts(0, 24)))
            for name, least, mah in zip(("full", "fair", "low"), (70.0, 55.0, 40.0), daily, strict=True)
        ),
        ask_every_s=draw(st.none() | amounts(60, 7200)),
    )


@st.composite
def cars(draw: st.DrawFn, days: float) -> SimulatedCar:
    high_v = draw(amounts(12.4, 15.0))  # a smart alternator
    begins = sorted(draw(st.lists(amounts(0, days * DAY), max_size=3)))
    return SimulatedCar(
        quiescent_ma=draw(amounts(10, 50)),
        awake_ma=draw(amounts(200, 3000)),
        wakes_every_s=draw(st.none() | st.just(3600.0) | amounts(3600, 12 * 3600)),
        wake_s=draw(amounts(5, 300)),
        wake_v=draw(st.none() | amounts(13.3, 14.8)),
        chatter_s=draw(amounts(0, 300)),
        bus_visible=draw(st.booleans()),
        drives=tuple((begin, draw(amounts(30, 1800))) for begin in begins),
        alternator=lambda t: 12.4 + (high_v - 12.4) * ((t // 60) % 5) / 4,
    )


@st.composite
def batteries(draw: st.DrawFn) -> ParkedBattery:
    return ParkedBattery(
        capacity_mah=draw(amounts(35_000, 95_000)),
        soc_percent=draw(amounts(45, 98)),
        temperature=draw(amounts(-25, 35)),
        self_discharge=draw(amounts(2, 8)),
    )


@st.composite
def fittings(draw: st.DrawFn, days: float) -> Fitting:
    moments = amounts(0, days * DAY)
    return Fitting(
        sensor_offset=draw(st.none() | amounts(-0.2, 0.2)),
        ignition_line=draw(st.booleans()),
        restarts=tuple(sorted(draw(st.lists(moments, max_size=6)))),
        jumps=tuple((at, draw(amounts(-3 * DAY, 40 * DAY))) for at in draw(st.lists(moments, max_size=3))),
    )


def judge(car: SimulatedCar, battery: ParkedBattery, power: PowerSettings, fitting: Fitting, days: float) -> None:
    floor_v = power.protect_below_v
    ours = park(car, battery, power, fitting, days=days, floor_v=floor_v)
    alone = park(car, battery, None, days=days, floor_v=floor_v)
    # A check that costs more than the governor reckons, since the car chatters on, is reckoned afterwards: one may
    # overdraw. Rare checks on credit go on when all is spent, and so does the look at a restart.
    check = power.check_mah + car.chatter_s * car.awake_ma / 3600
    on_credit = (2 + len(fitting.restarts) + 3 + days) * (check + power.wake_mah)
    # After each drive the allowance begins anew, and the car is still read while it may only have stopped.
    trip = power.parking_mah + (power.awake_ma + car.awake_ma) * (power.standing_s + power.check_s) / 3600
    # A car that charges its battery by itself puts more back than is taken.
    topped_s = 0.0 if car.wakes_every_s is None or car.wake_v is None else days * DAY / car.wakes_every_s * car.wake_s
    allowed = power.parking_mah + on_credit + len(car.drives) * trip + power.recharge_ma * topped_s / 3600
    assert ours.ours_mah - ours.standby_mah <= allowed
    if fitting.sensor_offset is not None and not car.drives and car.wake_v is None:
        until_noticed = (power.awake_ma + car.awake_ma) * (power.protect_hold_s + 120.0) / 3600
        assert ours.ours_below_mah <= until_noticed + (1 + len(fitting.restarts)) * check
    # Below the threshold with us and above it without: by no more than what was budgeted.
    if not car.drives and ours.last_v < floor_v < alone.last_v:
        assert alone.charge_mah - ours.charge_mah <= allowed + ours.standby_mah + 1.0


many = settings(
    phases=(Phase.explicit, Phase.generate),  # a smaller counterexample is not worth the minutes of simulated weeks
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@many
@given(cars(7.0), batteries(), plans(), fittings(7.0))
def test_no_plan_drains_the_battery_in_a_week(
    car: SimulatedCar, battery: ParkedBattery, power: PowerSettings, fitting: Fitting
) -> None:
    judge(car, battery, power, fitting, 7.0)


@settings(many, max_examples=4)
@given(cars(30.0), batteries(), plans(), fittings(30.0))
def test_nor_in_a_month(car: SimulatedCar, battery: ParkedBattery, power: PowerSettings, fitting: Fitting) -> None:
    judge(car, battery, power, fitting, 30.0)
