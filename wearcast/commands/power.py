"""``wearcast agent power``: what the plan for the 12 V battery does, and what it has cost."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wearcast.commands.agent import ON_THE_DONGLE, app
from wearcast.commands.common import JsonOption
from wearcast.output import print_json, print_rows

if TYPE_CHECKING:
    from edge_agent.power.report import PowerReport

ConfigArgument = Annotated[Path, typer.Argument(help="The agent's configuration, agent.yaml.", show_default=False)]


@app.command(rich_help_panel=ON_THE_DONGLE)
def power(config: ConfigArgument, as_json: JsonOption = False) -> None:
    """Show whether the car is left alone and why, the thresholds, and the charge taken from its 12 V battery by day.

    The agent may run meanwhile; its figures are as of its last save, at most ten minutes old.
    """
    from edge_agent.config import load_config
    from edge_agent.power.report import as_json as report_json
    from edge_agent.power.report import power_report, read_memory

    loaded = load_config(config, needs_password=False)
    if loaded.power.mode == "off":
        if as_json:
            print_json({"mode": "off"})
        else:
            print("No power plan: the car is asked all the time. Set hardware_profile, or power with a mode.")
        return
    memory = read_memory(loaded.outbox_path)
    if memory is None:
        if as_json:
            print_json({"mode": loaded.power.mode, "state": None})
        else:
            print("The agent has not run with this power plan yet.")
        return
    report = power_report(loaded.power, memory, datetime.now(UTC))
    if as_json:
        print_json(report_json(report))
        return
    print_rows([{"what": what, "value": value} for what, value in _facts(report)], as_json=False)
    print_rows(
        [
            {
                "day": day.day,
                "parked, mAh": day.parked_mah,
                "in use, mAh": day.in_use_mah,
                "wakes": day.wakes,
                "checks": day.checks,
            }
            for day in report.days
        ],
        as_json=False,
        title="Charge by day (UTC)",
        empty="nothing was counted yet",
    )
    if not report.sign_of_life and report.state in {"asleep", "protected"}:
        print(
            "The parked car has shown no sign of life so far. If it drives and is not read: give the dongle a voltage "
            "or an ignition line (power.voltage, power.ignition), or let it ask now and then (power.ask_every)."
        )


def _facts(report: "PowerReport") -> list[tuple[str, str]]:
    volts = report.thresholds
    thresholds = (
        f"stops below {volts['off_below_v']:g} V, rests below {volts['sleep_below_v']:g} V, "
        f"wakes above {volts['wake_above_v']:g} V; promised: {volts['protect_below_v']:g} V at rest"
    )
    return [
        ("state", f"{report.state}: {report.why}"),
        ("since", _moment(report.since)),
        (
            "12 V system",
            "not measured" if report.voltage is None else f"{report.voltage:.2f} V, {_moment(report.voltage_at)}",
        ),
        (
            "battery at rest",
            "not yet known"
            if report.usable_percent is None
            else f"{report.usable_percent:.0f} % usable ({report.tier or 'nothing to spare'})",
        ),
        ("thresholds", thresholds),
        ("left of this parking", f"{report.parking_left_mah:.0f} of {report.parking_mah:.0f} mAh"),
        ("for wakes and checks", f"{report.purse_mah:.1f} mAh"),
        (
            "next planned wake",
            _moment(report.next_wake) if report.next_wake is not None else "none: when the car wakes",
        ),
    ]


def _moment(moment: datetime | None) -> str:
    return "unknown" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
