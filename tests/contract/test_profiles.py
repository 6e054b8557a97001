"""Every profile that ships is loaded, exercised with its own examples and held against the packages that use it."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from jsonschema import Draft202012Validator

from edge_agent.obd.did import decode
from edge_agent.obd.pids import PIDS
from edge_agent.obd.trouble_codes import STATUS_OF_SERVICE
from edge_agent.profile_dids import profile_dids
from firmware_profiles.errors import ProfileError
from firmware_profiles.loader import load_hardware_profile, load_vehicle_profile, shipped_folder
from firmware_profiles.profile import DidDefinition, Example, SignalDefinition, VehicleProfile
from firmware_profiles.schema import FOLDER, SHAPES, inventory_table, keys_table, schema, schema_text
from firmware_profiles.shape import Kind, ListOf, Place, Record, Table
from firmware_profiles.vin_pattern import positions
from health.registry import build_estimators
from telemetry.catalogue import catalogue
from tests.contract.shipped import PROFILES

SIGNALS = [
    pytest.param(did, signal, example, id=f"{vehicle.name}-{signal.column}-{number}")
    for vehicle in PROFILES.vehicles
    for did in vehicle.dids
    for signal in did.signals
    for number, example in enumerate(signal.examples)
]
FILES = [
    pytest.param(kind, path, id=f"{kind}-{path.stem}")
    for kind, folder in (("vehicle", "vehicles"), ("hardware", "hardware"))
    for path in sorted(shipped_folder(folder).glob("*.yaml"))
]
by_vehicle = pytest.mark.parametrize("vehicle", PROFILES.vehicles, ids=lambda vehicle: vehicle.name)


def test_there_is_a_profile_for_each_kind_of_car_and_dongle() -> None:
    real = [vehicle.kind for vehicle in PROFILES.vehicles if not vehicle.simulated]
    assert {"petrol", "diesel", "generic"} <= set(real)
    assert real.count("electric") >= 2
    assert {vehicle.name for vehicle in PROFILES.vehicles if vehicle.simulated} == {
        "virtual_petrol",
        "virtual_diesel",
        "virtual_electric",
    }
    assert len(PROFILES.hardware) >= 3


@pytest.mark.parametrize(("did", "signal", "example"), SIGNALS)
def test_each_example_decodes_to_its_value(did: DidDefinition, signal: SignalDefinition, example: Example) -> None:
    """By plain arithmetic on the bits, independent of the agent's decoder."""
    bits = "".join(f"{byte:08b}" for byte in example.payload)
    raw = int(bits[signal.bit_offset : signal.bit_offset + signal.bit_length], 2)
    if signal.signed and bits[signal.bit_offset] == "1":
        raw -= 1 << signal.bit_length
    assert float(raw * signal.scale + signal.offset) == pytest.approx(example.value, rel=1e-9)
    assert catalogue().by_path(signal.path).accepts(example.value)


@pytest.mark.parametrize(("did", "signal", "example"), SIGNALS)
def test_the_agent_decodes_each_example_alike(did: DidDefinition, signal: SignalDefinition, example: Example) -> None:
    (definition,) = profile_dids(replace(load_vehicle_profile("generic"), dids=(did,)))
    payload = example.payload.ljust(definition.data_length, b"\0")
    echo = definition.request[1:]
    answer = bytes((definition.service + 0x40,)) + echo + payload
    assert decode(definition, answer).values[signal.path] == pytest.approx(example.value, rel=1e-9)


@by_vehicle
def test_the_agent_knows_every_polled_parameter(vehicle: VehicleProfile) -> None:
    assert {item.pid for item in vehicle.poll} <= set(PIDS)
    assert vehicle.trouble_codes is not None
    assert set(vehicle.trouble_codes.services) <= set(STATUS_OF_SERVICE)


@by_vehicle
def test_health_takes_the_parameters(vehicle: VehicleProfile) -> None:
    assert build_estimators(vehicle.kind, vehicle.health)


@by_vehicle
def test_each_definition_has_a_source(vehicle: VehicleProfile) -> None:
    for did in vehicle.dids:
        expected = "definition of the simulated ECU" if vehicle.simulated else "https://"
        assert did.source.startswith(expected), did.name


@by_vehicle
def test_a_did_asked_for_often_is_not_longer_than_one_poll_plan_allows(vehicle: VehicleProfile) -> None:
    """Bus load stays low: at most 15 requests a second, even if a car has everything."""
    periods = [item.period_s for item in vehicle.poll] + [did.period_s for did in vehicle.dids]
    assert sum(1 / period for period in periods) < 15


@by_vehicle
def test_what_a_vin_begins_with_can_be_matched(vehicle: VehicleProfile) -> None:
    for pattern in vehicle.match.vin if vehicle.match is not None else ():
        assert positions(pattern), "a pattern that looks at nothing fits every car"


@pytest.mark.parametrize("kind", SHAPES)
def test_the_schema_file_is_the_one_made_from_the_keys(kind: str) -> None:
    stored = (FOLDER / f"{kind}.schema.json").read_text(encoding="utf-8")
    assert stored == schema_text(kind), "run python -m firmware_profiles.schema"
    Draft202012Validator.check_schema(json.loads(stored))


@pytest.mark.parametrize(("kind", "path"), FILES)
def test_each_file_names_its_schema_and_keeps_to_it(kind: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# yaml-language-server: $schema=../schema/{kind}.schema.json\n")
    errors = [error.message for error in Draft202012Validator(schema(kind)).iter_errors(yaml.safe_load(text))]
    assert errors == []


# What a hand may put somewhere by mistake; each is tried at every place of the document.
MISTAKES: tuple[object, ...] = (None, True, -1, 7, 2.5, "", "text", "5s", "7E0", "07", [], {}, [{}], "1/0", 710)


def spoilt(document: Any) -> list[Any]:
    found: list[Any] = []

    def replace(at: tuple[str | int, ...], value: object) -> None:
        copied = copy.deepcopy(document)
        holder = copied
        for step in at[:-1]:
            holder = holder[step]
        holder[at[-1]] = value
        found.append(copied)

    def walk(node: object, at: tuple[str | int, ...]) -> None:
        if isinstance(node, dict):
            for name in node:
                walk(node[name], (*at, name))
                copied = copy.deepcopy(document)
                holder = copied
                for step in at:
                    holder = holder[step]
                del holder[name]
                found.append(copied)
            replace((*at, "unknown_key"), 1)
        elif isinstance(node, list):
            for index, item in enumerate(node):
                walk(item, (*at, index))
        if at:
            for value in MISTAKES:
                replace(at, value)

    walk(document, ())
    return found


def accepted_by_loader(kind: str, document: dict[str, Any]) -> bool:
    partial = "extends" in document or document.get("family") is True
    try:
        SHAPES[kind].check(document, Place(file="spoilt.yaml"), partial=partial)
    except ProfileError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("vehicle", "ford_f150"),
        ("vehicle", "combustion_engine"),
        ("vehicle", "generic"),
        ("hardware", "raspberry_pi"),
        ("hardware", "pi_4_mcp251xfd"),
        ("vehicle", "whole"),
        ("hardware", "whole"),
    ],
)
def test_schema_and_loader_accept_and_reject_the_same(kind: str, name: str) -> None:
    document = example(SHAPES[kind]) if name == "whole" else load(kind, name)
    validator = Draft202012Validator(schema(kind))
    variants = [document, *spoilt(document)]
    verdicts = [accepted_by_loader(kind, variant) for variant in variants]
    assert verdicts[0]
    assert not all(verdicts)
    for variant, verdict in zip(variants, verdicts, strict=True):
        assert validator.is_valid(variant) == verdict, variant


def load(kind: str, name: str) -> dict[str, Any]:
    folder = {"vehicle": "vehicles", "hardware": "hardware"}[kind]
    return cast("dict[str, Any]", yaml.safe_load((shipped_folder(folder) / f"{name}.yaml").read_text(encoding="utf-8")))


# A document with every key there is, so that the comparison above reaches each of them.
_SAMPLES: dict[str, object] = {
    "name": "whole",
    "kind": None,
    "channel": "can0",
    "did": "220A",
    "pid": "0C",
    "status_mask": "0D",
    "request_id": "7E0",
    "response_id": "17FE007B",
    "payload": "01 FF",
    "scale": "100/255",
    "offset": -40,
    "identifier_bits": 29,
    "service": None,
    "spi": "spi0-0",
    "config_txt": ["dtparam=spi=on"],
    "device_allow": ["char-ttyUSB rw"],
    "groups": ["dialout"],
    "health": {"oil_life": {"time_cap_days": 365, "known": True}},
    "limits": {"traction_battery_soh": 70},
    "vin": ["KM8K", "1G1F?[AC-E]"],
    "ecus": ["7EC"],
    "first": 2019,
    "last": 2024,
}


def example(kind: Kind, name: str = "") -> Any:
    if isinstance(kind, Record):
        skipped = {"extends", "family"}
        return {key: example(entry.kind, key) for key, entry in kind.keys.items() if key not in skipped}
    if _SAMPLES.get(name) is not None:
        return copy.deepcopy(_SAMPLES[name])
    if isinstance(kind, ListOf):
        return [example(kind.kind, name)]
    assert not isinstance(kind, Table)
    form = kind.schema(partial=False)
    if "enum" in form:
        return cast("list[object]", form["enum"])[0]
    if "minimum" in form:
        return form["minimum"]
    if form["type"] == "boolean":
        return False
    return "10min"


def test_the_page_documents_each_key_and_each_profile() -> None:
    page = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text(encoding="utf-8")
    for kind in SHAPES:
        assert keys_table(kind) in page, "run python -m firmware_profiles.schema"
        assert inventory_table(kind) in page, "run python -m firmware_profiles.schema"


def test_profiles_are_found_by_name_and_by_path() -> None:
    path = shipped_folder("vehicles") / "generic.yaml"
    assert load_vehicle_profile("generic") == load_vehicle_profile(str(path)) == load_vehicle_profile(path)
    assert load_hardware_profile("pi_zero_2w_mcp2515").controller is not None
