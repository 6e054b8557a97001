"""Charge taken from a parked car's 12 V battery, simulated: by its state, over a week, and left to itself.

The board is the Raspberry Pi Zero 2 W of the shipped profile, its power cut while it sleeps; the car has a battery of
60 Ah and draws 20 mA by itself. What the figures rest on stands in :mod:`edge_agent.power.simulation` and in the
profile.
"""

from dataclasses import replace
from typing import Final

from edge_agent.power.accounts import Accounts
from edge_agent.power.memory import Memory
from edge_agent.power.records import PowerState
from edge_agent.power.settings import PowerSettings
from edge_agent.power.simulation import START, Fitting, Outcome, ParkedBattery, Parking, SimulatedCar
from firmware_profiles.loader import load_hardware_profile
from tests.benchmarks.bench_row import Row, row, show, write

DAY_S: Final = 86_400.0
WEEK: Final = 7
STATES: Final = {"full": 98.0, "fair": 88.0, "low": 80.0, "below the threshold": 55.0}  # percent of charge at first
ALWAYS_ON: Final = "left on all the time, the board alone"


def board() -> PowerSettings:
    """What the agent of a flashed dongle plans with."""
    plan = load_hardware_profile("pi_zero_2w_mcp2515").power
    return PowerSettings(
        off_when=plan.off_when,
        awake_ma=plan.awake_ma,
        idle_ma=plan.idle_ma,
        off_ma=plan.off_ma,
        sleep_hold_s=plan.sleep_hold_s,
    )


def park(
    settings: PowerSettings | None, *, percent: float = 85.0, car: SimulatedCar | None = None, days: int = WEEK
) -> Outcome:
    """A week in which nobody comes; the dongle's power was cut a while ago."""
    memory = Memory(
        state=PowerState.ASLEEP,
        saved=START,
        cut=True,
        wake_in_s=DAY_S / 2,
        parked_s=DAY_S / 2,
        accounts=Accounts(purse_mah=40.0),
    )
    parking = Parking(
        SimulatedCar() if car is None else car, ParkedBattery(soc_percent=percent), settings, Fitting(), memory
    )
    return parking.run(days * DAY_S, 12.2)


def rows() -> list[Row]:
    """The table."""
    settings = board()
    always = settings.awake_ma * 24
    table = [row(ALWAYS_ON, always, "mAh a day", digits=0)]
    standby = settings.off_ma * 24
    table.append(
        row("the controller's standby, in any state", standby, "mAh a day", ratio=always / standby, against=ALWAYS_ON)
    )
    for state, percent in STATES.items():
        outcome = park(settings, percent=percent)
        mah = (outcome.ours_mah - outcome.standby_mah) / WEEK
        table.append(row(f"wakes and looks, battery {state}", mah, "mAh a day", digits=1))
    for name, car in {
        "a quiet week": SimulatedCar(),
        "a week, 50 mA, waking every hour": SimulatedCar(quiescent_ma=50.0, wakes_every_s=3600.0),
    }.items():
        alone, ours = park(None, car=car), park(settings, car=car)
        table.append(row(f"{name}: lowest rest voltage without the dongle", alone.least_v, "V"))
        table.append(row(f"{name}: with it", ours.least_v, "V"))
        table.append(row(f"{name}: taken by it below 12.2 V", ours.ours_below_mah, "mAh", at_most=10.0, digits=1))
    uncut = park(replace(settings, off_when="protected"))
    table.append(
        row("a quiet week, nothing cuts the board before its allowance is spent", uncut.least_v, "V", at_least=12.2)
    )
    drives = tuple((day * DAY_S + 8.3 * 3600, 1200.0) for day in range(WEEK))
    used = park(settings, car=SimulatedCar(drives=drives))
    idle = park(replace(settings, off_when="protected", idle_ma=20.0), car=SimulatedCar(drives=drives))
    table.append(row("drives of the week that were read", len(used.noticed_after_s), "of 7", at_least=7, digits=0))
    table.append(row("from ignition to reading, power cut (boot included)", max(used.noticed_after_s), "s", digits=0))
    table.append(row("from ignition to reading, board idle", max(idle.noticed_after_s), "s", at_most=5.0, digits=0))
    return table


def main() -> None:
    """Simulate, print and keep the table."""
    table = rows()
    show(table)
    write("edge_power", table)


if __name__ == "__main__":
    main()
