"""``wearcast agent recognise|capture``: which profile a car has, and what a new one is written from."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wearcast.commands.adapter import AdapterOption, Chosen, ConfigOption, choose
from wearcast.commands.agent import DIAGNOSE, app
from wearcast.commands.common import JsonOption
from wearcast.output import print_json, print_rows

if TYPE_CHECKING:
    from edge_agent.recognition.profiles import Profiles
    from edge_agent.tester.base import Connect

_NOBODY = (
    "Nobody answered. Is the ignition on? `wearcast agent doctor` looks for the reason step by step; "
    "without a car, `wearcast agent garage` gives a virtual one."
)


@app.command(rich_help_panel=DIAGNOSE)
def recognise(adapter: AdapterOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Find out which profile the car has, how certain that is, and why.

    With vehicle_profile: auto in agent.yaml the agent does the same by itself when it is plugged in.

    Example: wearcast agent recognise --adapter can:socketcan:can0
    """
    from edge_agent.recognition.judge import choose as decide
    from edge_agent.recognition.source import ask_car
    from edge_agent.recognition.vin import beginning, model_years

    chosen = choose(adapter, config)
    profiles = _profiles(chosen)
    fingerprint, ranked = ask_car(_politely(chosen), profiles.candidates())
    found = decide(ranked, profiles.generic)
    if as_json:
        print_json(
            {
                "profile": found.profile,
                "title": found.title,
                "certainty": round(found.certainty, 3),
                "reasons": found.reasons,
                "others": [
                    {"profile": each.profile, "certainty": round(each.certainty, 3), "reasons": each.reasons}
                    for each in ranked
                    if each.profile != found.profile
                ],
                "vin_begins": None if fingerprint.vin is None else beginning(fingerprint.vin),
                "model_years": () if fingerprint.vin is None else model_years(fingerprint.vin),
                "ecus": sorted(fingerprint.ecus),
                "parameters": len(fingerprint.supported),
            }
        )
    elif fingerprint.silent:
        print(_NOBODY)
    else:
        print(f"{found.title} ({found.profile}), certainty {found.certainty:.0%}")
        for reason in found.reasons:
            print(f"- {reason}")
        print_rows(
            [{"profile": each.profile, "car": each.title, "certainty": f"{each.certainty:.0%}"} for each in ranked[:5]],
            as_json=False,
            title="Profiles that may fit",
            empty="",
        )
        if found.profile == profiles.generic.name:
            print("To write a profile for this car: wearcast agent capture my_car.json")
    if fingerprint.silent:
        raise typer.Exit(1)


@app.command(rich_help_panel=DIAGNOSE)
def capture(
    out: Annotated[
        Path,
        typer.Argument(help="File to write, .json; the draft of a profile is written beside it.", show_default=False),
    ],
    adapter: AdapterOption = None,
    config: ConfigOption = None,
) -> None:
    """Write down what the car's ECUs answer, without VIN, serial numbers and position, and draft a profile from it.

    Asks what changes nothing; takes half a minute to some minutes. Both files can be shown to others.

    Example: wearcast agent capture my_car.json --adapter elm327:/dev/ttyUSB0
    """
    from edge_agent.capture.take import take_capture
    from edge_agent.capture.write import capture_files, write_capture
    from firmware_profiles.loader import load_vehicle_profile

    capture_files(out)  # before the car is asked for minutes
    chosen = choose(adapter, config)
    candidates = _profiles(chosen).candidates()
    taken, vins = take_capture(_politely(chosen), candidates, progress=lambda text: typer.echo(text, err=True))
    if not taken.ecus:
        print(_NOBODY)
        raise typer.Exit(1)
    raw, profile = write_capture(taken, vins, out, candidates, today=datetime.now(UTC).date())
    loaded = load_vehicle_profile(profile)
    answers = sum(answer.payload is not None for ecu in taken.ecus for answer in ecu.answers)
    print(f"{raw}: {answers} answers of {len(taken.ecus)} ECUs; VIN {taken.vin_begins or 'not read'}")
    print(f"{profile}: {loaded.title}; reads {len(loaded.poll)} parameters and {len(loaded.dids)} identifiers")
    print(f"To read the car by it: vehicle_profile: {profile.name} in an agent.yaml beside it")


def _politely(chosen: Chosen) -> "Connect":
    """These are hundreds of questions: the car's bus has other things to do."""
    from edge_agent.tester.find_bus import OBD_BIT_RATES
    from edge_agent.tester.limits import Limits
    from edge_agent.tester.polite import politely

    return politely(chosen.connect, Limits(bit_rate=min(OBD_BIT_RATES)))


def _profiles(chosen: Chosen) -> "Profiles":
    from edge_agent.recognition.profiles import OWN_FOLDER, Profiles

    return Profiles(None if chosen.config is None else chosen.config.folder / OWN_FOLDER)
