"""The demo's cars: the garage of their past, and the one in which they live on from there."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edge_agent.profile_dids import did_documents
from firmware_profiles.loader import load_vehicle_profile
from wearcast.demo.story import STORIES, Story

_VIN_BASE = "WVWZZZ1KZ6W"  # + six digits
_CONTROL = "control.json"  # beside the garage file; what changes while it runs
_MULTICAST_GROUP = "239.74.163.2"
_SECONDS_TO_LIMIT = 10.0  # from going live to where the accelerated part crosses its limit
_LIMITS = {"oil": 9.0, "pads": 86.0}  # percent; just beyond what the rules compare with


@dataclass(frozen=True, kw_only=True)
class Past:
    """A car's recorded months: where the recording is, and in what condition it leaves the car."""

    story: Story
    recording: Path
    condition: Mapping[str, object]


def vin_of(story: Story) -> str:
    """A made-up vehicle identification number of the right form."""
    return f"{_VIN_BASE}{100_001 + STORIES.index(story)}"


def write_past_garage(path: Path) -> None:
    """Write the garage file of the cars as they were when their past began; nobody opens its buses."""
    _write(path, ({**_car(story, story.past), "bus": bus(1024 + number)} for number, story in enumerate(STORIES)))


def write_garage(path: Path, pasts: list[Past], ports: Mapping[str, int]) -> None:
    """Write the garage file in which the cars go on from where their past left them, each on a bus of its own."""
    _write(path, ({**_live_car(past), "bus": bus(ports[past.story.device])} for past in pasts))


def wear_normally(garage: Path) -> None:
    """End the accelerated wear in a running garage: the cars have told their stories."""
    worn = [story.device for story in STORIES if story.wears_out]
    (garage.parent / _CONTROL).write_text(json.dumps({device: {"acceleration": {}} for device in worn}))


def _write(path: Path, cars: Iterable[Mapping[str, object]]) -> None:
    document = {"control": _CONTROL, "cars": [dict(car) for car in cars]}
    path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")


def bus(port: int) -> dict[str, object]:
    """A CAN bus between processes of this machine."""
    return {"interface": "udp_multicast", "channel": _MULTICAST_GROUP, "port": port}


def _live_car(past: Past) -> dict[str, object]:
    live = _car(past.story, {**past.story.past, **past.story.live, "condition": dict(past.condition)})
    if past.story.wears_out:
        live["acceleration"] = _acceleration(past)
    return live


def _acceleration(past: Past) -> dict[str, float]:
    if past.story.wears_out == "oil":
        left = float(str(past.condition["oil_life_percent"])) - _LIMITS["oil"]
        return {"oil_percent_per_s": max(left, 0.5) / _SECONDS_TO_LIMIT}
    pads = past.condition["pad_wear_percent"]
    assert isinstance(pads, list)
    return {"pad_percent_per_s": max(_LIMITS["pads"] - pads[0], 0.5) / _SECONDS_TO_LIMIT}


def _car(story: Story, parts: Mapping[str, Any]) -> dict[str, object]:
    return {
        "name": story.device,
        "vin": vin_of(story),
        "kind": story.kind,
        "seed": 1 + STORIES.index(story),
        "dids": did_documents(load_vehicle_profile(story.profile)),
        **parts,
    }
