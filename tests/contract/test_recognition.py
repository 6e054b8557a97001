"""Every profile that ships recognises a car of its own when it is plugged in, and no other car."""

import pytest

from edge_agent.recognition.judge import Recognition, choose
from edge_agent.recognition.take import recognise, take_fingerprint
from edge_agent.tester.testing import ScriptedTester
from firmware_profiles.loader import load_vehicle_profile
from firmware_profiles.profile import VehicleKind, VehicleProfile
from tests.contract.shipped import PROFILES
from tests.unit.edge_agent.recognition_support import DIESEL, ELECTRIC, PETROL, car
from tests.unit.edge_agent.vin_support import vin_of

VEHICLES = PROFILES.vehicles
GENERIC = load_vehicle_profile("generic")
MATCHING = [profile for profile in VEHICLES if profile.match is not None]
PATTERNS = [
    pytest.param(profile, pattern, id=f"{profile.name}-{pattern}")
    for profile in MATCHING
    for pattern in (profile.match.vin if profile.match is not None else ())
]
PIDS: dict[VehicleKind, frozenset[int]] = {
    "petrol": PETROL,
    "diesel": DIESEL,
    "hybrid": PETROL | {0x5B},
    "electric": ELECTRIC,
    "generic": PETROL,
}


def recognised(tester: ScriptedTester) -> Recognition:
    _, ranked = recognise(tester, take_fingerprint(tester), VEHICLES)
    return choose(ranked, GENERIC)


@pytest.mark.parametrize(("profile", "pattern"), PATTERNS)
def test_a_car_of_the_profile_is_recognised(profile: VehicleProfile, pattern: str) -> None:
    tester = car(profile, pids=PIDS[profile.kind], vin=vin_of(profile, pattern))
    found = recognised(tester)
    assert found.profile == profile.name, found.reasons
    assert found.certainty >= 0.8


@pytest.mark.parametrize("profile", MATCHING, ids=lambda profile: profile.name)
def test_a_car_with_the_vin_that_refuses_every_identifier_is_generic(profile: VehicleProfile) -> None:
    """The VIN of a profile alone may be that of a variant: what the car refuses outweighs it."""
    more = {f"{did.response_id:03X}": {b"\xff": b"\xff"} for did in profile.dids}
    found = recognised(car(pids=PIDS[profile.kind], vin=vin_of(profile), more=more))
    assert found.profile == "generic", found.reasons


@pytest.mark.parametrize("profile", MATCHING, ids=lambda profile: profile.name)
def test_a_foreign_vin_is_generic_whatever_answers(profile: VehicleProfile) -> None:
    found = recognised(car(profile, pids=PIDS[profile.kind], vin="ZFA31200000123456"))
    assert found.profile == "generic", found.reasons


@pytest.mark.parametrize("profile", MATCHING, ids=lambda profile: profile.name)
def test_without_a_vin_a_car_is_taken_for_its_own_profile_or_for_none(profile: VehicleProfile) -> None:
    found = recognised(car(profile, pids=PIDS[profile.kind]))
    assert found.profile in {profile.name, "generic"}, found.reasons


def test_without_a_vin_cars_with_much_of_their_own_are_recognised() -> None:
    """Many electric cars give their VIN to no standard request."""
    found = {profile.name: recognised(car(profile, obd=None)).profile for profile in MATCHING}
    right = [name for name, chosen in found.items() if name == chosen]
    assert "nissan_leaf" in right, found
    assert {chosen for name, chosen in found.items() if name != chosen} <= {"generic"}


def test_generic_and_simulated_profiles_are_chosen_by_name_only() -> None:
    assert {profile.name for profile in VEHICLES if profile.simulated} & {each.name for each in MATCHING} == set()
    assert GENERIC.match is None
