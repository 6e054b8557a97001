"""The vehicle profiles that ship, as data: enough models, a place to look up each definition, no doubtful VIN."""

import re
from itertools import combinations
from string import ascii_uppercase, digits

import pytest

from firmware_profiles.profile import VehicleProfile
from firmware_profiles.schema import WEAR
from firmware_profiles.vin_pattern import positions
from tests.contract.shipped import PROFILES

REAL = [vehicle for vehicle in PROFILES.vehicles if not vehicle.simulated and vehicle.name != "generic"]
VIN_CHARACTERS = frozenset(ascii_uppercase + digits) - set("IOQ")  # ISO 3779
ANY = "?"
by_vehicle = pytest.mark.parametrize("vehicle", REAL, ids=lambda vehicle: vehicle.name)


def tells_wear(vehicle: VehicleProfile) -> set[str]:
    """Columns of wear the maker's own identifiers tell, without the wheel."""
    columns = {re.sub(r"_row\d_(left|right)$", "", signal.column) for did in vehicle.dids for signal in did.signals}
    return columns & WEAR


def model(vehicle: VehicleProfile) -> str:
    """The model without pack, fuel and years: generations of one model count once."""
    return vehicle.title.partition(",")[0].partition(" with ")[0]


def tokens(pattern: str) -> list[frozenset[str]]:
    """What may stand at each place of a pattern."""
    places = []
    for token in re.findall(r"\[[^\]]*\]|.", pattern):
        matching = re.compile("." if token == ANY else token)
        places.append(frozenset(character for character in VIN_CHARACTERS if matching.fullmatch(character)))
    return places


def overlap(one: str, other: str) -> bool:
    """Whether one VIN can have both patterns."""
    return all(left & right for left, right in zip(tokens(one), tokens(other), strict=False))


def years(vehicle: VehicleProfile) -> range:
    match = vehicle.match
    assert match is not None
    return range(match.first_year or 1980, (match.last_year or 2060) + 1)


def test_at_least_fifty_models_tell_their_wear_themselves() -> None:
    told = {model(vehicle): tells_wear(vehicle) for vehicle in REAL}
    assert all(told.values()), [name for name, wear in told.items() if not wear]
    assert len(told) >= 50
    of_battery = {
        name for name, wear in told.items() if wear & {"traction_battery_soh", "traction_battery_net_capacity"}
    }
    assert len(of_battery) >= 20
    assert len({name for name, wear in told.items() if "oil_life" in wear}) >= 10
    assert len({name for name, wear in told.items() if "tire_pressure" in wear}) >= 30


@by_vehicle
def test_each_source_names_a_place_in_a_collection(vehicle: VehicleProfile) -> None:
    for did in vehicle.dids:
        for place in did.source.split(" and https://"):
            assert re.match(r"(https://)?github\.com/[\w-]+/[\w.-]+", place), (did.name, did.source)


@by_vehicle
def test_all_four_wheels_are_read_or_none(vehicle: VehicleProfile) -> None:
    columns = {signal.column for did in vehicle.dids for signal in did.signals}
    pressures = {column for column in columns if column.startswith("tire_pressure")}
    assert len(pressures) in {0, 4}


@by_vehicle
def test_what_a_sleeping_sensor_or_an_unready_computer_tells_is_no_value(vehicle: VehicleProfile) -> None:
    """Recorded cars tell 0 (Ram: 255) in place of these; an alert for a worn or flat part would follow."""
    for did in vehicle.dids:
        for signal in did.signals:
            if signal.column.startswith(("tire_pressure", "traction_battery_soh", "traction_battery_net")):
                assert signal.absent, signal.column
            for example in signal.examples:
                raw = int.from_bytes(example.payload) >> (
                    len(example.payload) * 8 - signal.bit_offset - signal.bit_length
                )
                assert raw & ((1 << signal.bit_length) - 1) not in signal.absent, signal.column


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("KM8K", "KM8K[1-9]3AG", True),
        ("KM8K[MNR]", "KM8K?3AG", True),
        ("KM8K[MNR]", "KM8K[1-9]3AG", False),
        ("1GC[PU][A-HJ-NPRU-Z]", "1GCP[ST]", False),
    ],
)
def test_overlap_of_patterns(*, one: str, other: str, same: bool) -> None:
    assert overlap(one, other) is same
    assert overlap(other, one) is same


def test_no_two_profiles_claim_one_vin_without_a_difference_that_can_be_seen() -> None:
    """Either the model years or the ECUs and what they are asked must tell them apart."""
    doubtful = []
    for one, other in combinations(REAL, 2):
        if one.match is None or other.match is None:
            continue
        vins = [(left, right) for left in one.match.vin for right in other.match.vin if overlap(left, right)]
        apart_in_years = not set(years(one)) & set(years(other))
        if vins and not apart_in_years and set(one.match.ecus) == set(other.match.ecus):
            doubtful.append((one.name, other.name, vins[0]))
    assert doubtful == []


@by_vehicle
def test_a_profile_that_chooses_itself_says_by_which_model(vehicle: VehicleProfile) -> None:
    """A maker's code alone fits every car of the maker."""
    if vehicle.match is None:
        assert "by name" in vehicle.notes
        return
    assert vehicle.match.vin
    for pattern in vehicle.match.vin:
        assert len(positions(pattern)) > 3, pattern
    asked = {did.response_id for did in vehicle.dids}
    assert set(vehicle.match.ecus) <= asked
