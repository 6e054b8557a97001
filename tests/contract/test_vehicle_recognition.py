"""Every profile that chooses itself is chosen, among all that ship, for a car that is as the profile says."""

import re
from string import ascii_uppercase, digits

import pytest

from edge_agent.recognition.judge import CHOOSE_FROM, choose
from edge_agent.recognition.take import recognise, take_fingerprint
from edge_agent.recognition.vin import check_digit_is_right, model_years
from firmware_profiles.loader import load_vehicle_profile
from firmware_profiles.profile import VehicleProfile
from tests.contract.shipped import PROFILES
from tests.unit.edge_agent.recognition_support import DIESEL, ELECTRIC, PETROL, car

VEHICLES = PROFILES.vehicles
CHOOSING = [vehicle for vehicle in VEHICLES if vehicle.match is not None]
PARAMETERS = {"petrol": PETROL, "diesel": DIESEL, "hybrid": PETROL | {0x5B}, "electric": ELECTRIC}
VIN_CHARACTERS = [character for character in ascii_uppercase + digits if character not in "IOQ"]
SERIAL = "U000001"


def vin_of(vehicle: VehicleProfile) -> str:
    """A VIN such a car may have: the first pattern's, of its first model year, with the check digit right."""
    match = vehicle.match
    assert match is not None
    places = [re.compile("." if part == "?" else part) for part in re.findall(r"\[[^\]]*\]|.", match.vin[0])]
    begin = "".join(next(filter(place.fullmatch, VIN_CHARACTERS)) for place in places).ljust(8, "A")[:8]
    for year in VIN_CHARACTERS:
        vins = (f"{begin}{check}{year}{SERIAL}" for check in digits + "X")
        vin = next(vin for vin in vins if check_digit_is_right(vin))
        if match.first_year is None or match.first_year in model_years(vin):
            return vin
    raise AssertionError(f"{vehicle.name}: no VIN of {match.first_year}")


@pytest.mark.parametrize("vehicle", CHOOSING, ids=lambda vehicle: vehicle.name)
def test_a_car_that_is_as_the_profile_says_gets_it(vehicle: VehicleProfile) -> None:
    tester = car(vehicle, pids=PARAMETERS[vehicle.kind], vin=vin_of(vehicle))
    _, ranked = recognise(tester, take_fingerprint(tester), VEHICLES)
    chosen = choose(ranked, load_vehicle_profile("generic"))
    assert chosen.profile == vehicle.name, ranked[:2]
    assert chosen.certainty >= CHOOSE_FROM


@pytest.mark.parametrize("vehicle", CHOOSING, ids=lambda vehicle: vehicle.name)
def test_a_sibling_that_lacks_the_identifiers_is_doubted(vehicle: VehicleProfile) -> None:
    """The VIN fits, and every one of the profile's identifiers is refused: less certain than if they answered."""
    parameters, vin = PARAMETERS[vehicle.kind], vin_of(vehicle)
    answering = car(vehicle, pids=parameters, vin=vin)
    refusing = car(pids=parameters, vin=vin, more={f"{did.response_id:03X}": {} for did in vehicle.dids})
    certainty = []
    for tester in (answering, refusing):
        _, ranked = recognise(tester, take_fingerprint(tester), VEHICLES)
        certainty.append(next(found.certainty for found in ranked if found.profile == vehicle.name))
    assert certainty[0] > certainty[1]
