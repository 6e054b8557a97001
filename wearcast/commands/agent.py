"""``wearcast agent``: the agent on the dongle, and the virtual car it can be tried on."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from wearcast.commands.common import JsonOption, stop_on_signal
from wearcast.output import print_json, print_rows

app = typer.Typer(
    no_args_is_help=True,
    help="""On the dongle: read a car, estimate its wear, keep every sample until the backend has committed it.

    An agent.yaml says what is read (a CAN bus, or a recording) and where to; [b]wearcast flash bundle[/b] writes one.
    Without a car: [b]wearcast agent garage[/b] runs virtual cars that answer on a bus as real ones do.""",
    short_help="The agent on the dongle, and virtual cars to try it on.",
)

# The panels of `wearcast agent --help`; commands in files of their own join them.
ON_THE_DONGLE = "On the dongle"
DIAGNOSE = "Diagnose a car"
WITHOUT_A_CAR = "Try it without a car"

ConfigArgument = Annotated[Path, typer.Argument(help="The agent's configuration, agent.yaml.", show_default=False)]


@app.command(rich_help_panel=ON_THE_DONGLE)
def run(config: ConfigArgument) -> None:
    """Run the agent until it is stopped, or until a recording has ended and all of it is acknowledged."""
    from edge_agent.start import start

    with stop_on_signal() as stop:
        start(config, stop)


@app.command(rich_help_panel=ON_THE_DONGLE)
def check(config: ConfigArgument) -> None:
    """Check a configuration with its profile, and say in one line what it would do."""
    from edge_agent.build import build_estimators, build_profile, build_source
    from edge_agent.config import load_config

    loaded = load_config(config, needs_password=False)
    profile = build_profile(loaded)
    build_source(loaded, profile)
    names = ", ".join(estimator.name for estimator in build_estimators(loaded, profile))
    print(
        f"{config}: good. Device {loaded.device} reads {loaded.source.kind} with profile "
        f"{profile.name if profile else loaded.vehicle_profile or 'none'}, estimates {names}, "
        f"sends to {loaded.mqtt.host}:{loaded.mqtt.port}."
    )


@app.command(rich_help_panel=ON_THE_DONGLE)
def read(
    config: ConfigArgument,
    seconds: Annotated[float, typer.Option(help="How long to read.", min=0.1)] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Read the car for some seconds and show its latest values, trouble codes and failed reads; nothing is sent."""
    from edge_agent.build import build_profile, build_source
    from edge_agent.config import load_config
    from edge_agent.sources.base import TroubleCode
    from telemetry.catalogue import catalogue

    loaded = load_config(config, needs_password=False)
    source = build_source(loaded, build_profile(loaded))
    values: dict[str, float] = {}
    faults: dict[str, str] = {}
    codes: tuple[TroubleCode, ...] | None = None
    vin = None
    source.open()
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until and (reading := source.poll()) is not None:
            values.update(reading.values)
            faults.update({fault.request: fault.reason for fault in reading.faults})
            codes = reading.trouble_codes if reading.trouble_codes is not None else codes
            vin = reading.vin or vin
    finally:
        source.close()
    if as_json:
        print_json({"vin": vin, "values": values, "trouble_codes": codes, "faults": faults})
        return
    print_rows(
        [
            {"signal": path, "value": value, "unit": catalogue().by_path(path).unit.sign}
            for path, value in sorted(values.items())
        ],
        as_json=False,
        title=f"VIN {vin or 'not read'}",
        empty="no value was read",
    )
    told = [f"{code.code} ({code.status}, ECU {code.ecu})" for code in codes or ()]
    print("Trouble codes:", "not read" if codes is None else ", ".join(told) or "none")
    for request, reason in faults.items():
        print(f"Not read: {request}: {reason}")
    if not values and codes is None and vin is None:
        print(
            "Nothing answered. On a car: is the ignition on, is the bit rate right, are CAN high and low the right way "
            "round? With virtual cars: does `wearcast agent garage` run on this bus?"
        )


@app.command(rich_help_panel=ON_THE_DONGLE)
def outbox(config: ConfigArgument, as_json: JsonOption = False) -> None:
    """Show what waits in the outbox and what was counted; the agent may run meanwhile."""
    from edge_agent.config import load_config
    from edge_agent.ledger import read_ledger

    loaded = load_config(config, needs_password=False)
    print_rows(
        [{"what": name, "count": count} for name, count in read_ledger(loaded.outbox_path).items()], as_json=as_json
    )


@app.command(rich_help_panel=ON_THE_DONGLE)
def enrol(config: ConfigArgument) -> None:
    """Try once to get or renew the certificate, and say what came of it; the agent does it by itself.

    Run it as the agent's user; the agent takes over what was issued when it starts.
    """
    from edge_agent.config import load_config
    from edge_agent.enrolment.attempt import attempt
    from edge_agent.enrolment.build import order_of
    from edge_agent.errors import ConfigurationError, EnrolmentError

    loaded = load_config(config, needs_password=False)
    if loaded.enrolment is None:
        raise ConfigurationError(f"{config}: enrolment is not set; wearcast flash bundle --enrol writes it")
    outcome = attempt(order_of(loaded.device, loaded.enrolment))
    if outcome.state != "issued":
        raise EnrolmentError(outcome.reason)
    print(f"{loaded.enrolment.folder}: a certificate was issued; systemctl restart wearcast-agent takes it over")


@app.command(rich_help_panel=WITHOUT_A_CAR)
def garage(
    file: Annotated[Path, typer.Argument(help="YAML with the cars and the bus each stands on.", show_default=False)],
) -> None:
    """Run virtual cars: simulated ECUs that answer OBD and UDS requests, each on a CAN bus of its own."""
    from edge_agent.virtual_car.garage import run_garage

    run_garage(file)


@app.command(rich_help_panel=WITHOUT_A_CAR)
def history(
    file: Annotated[Path, typer.Argument(help="YAML of a garage.", show_default=False)],
    car: Annotated[str, typer.Argument(help="Name of the car in it.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Recording to write, .csv or .csv.gz.", show_default=False)],
    days: Annotated[float, typer.Option(help="How many days, up to now.", min=0.01)] = 90.0,
    period: Annotated[float, typer.Option(help="Seconds between two rows while it drives or charges.", min=1)] = 60.0,
) -> None:
    """Write the past of a virtual car as a recording that the agent can replay."""
    from edge_agent.errors import ConfigurationError
    from edge_agent.virtual_car.config import condition_to_dict
    from edge_agent.virtual_car.garage import GarageConfig
    from edge_agent.virtual_car.history import write_history

    cars = {parked.car.name: parked.car for parked in GarageConfig.from_file(file).cars}
    if car not in cars:
        raise ConfigurationError(f"{file}: there is no car {car!r}; there are {', '.join(cars)}")
    now = datetime.now(UTC)
    condition = write_history(cars[car], start=now - timedelta(days=days), end=now, path=out, sample_period_s=period)
    print_json({"recording": out, "condition at its end": condition_to_dict(condition)})
