"""The virtual cars answer every value that their profiles name."""

from datetime import UTC, datetime

import pytest

from edge_agent.obd import did
from edge_agent.profile_dids import profile_dids
from edge_agent.virtual_car.config import Kind, VirtualCarConfig
from edge_agent.virtual_car.ecu import ecus_of
from edge_agent.virtual_car.live import LiveCar
from firmware_profiles.loader import load_vehicle_profile

KINDS: tuple[Kind, ...] = ("petrol", "diesel", "electric")


@pytest.mark.parametrize("kind", KINDS)
def test_no_definition_of_the_profile_is_refused(kind: Kind) -> None:
    definitions = profile_dids(load_vehicle_profile(f"virtual_{kind}"))
    config = VirtualCarConfig(name="test", vin="WVWZZZ1KZAW000001", kind=kind, dids=definitions)
    car = LiveCar(config, now=datetime(2026, 6, 1, 8, tzinfo=UTC))
    car.advance(60.0)
    ecus = {ecu.role.address.transmit_id: ecu for ecu in ecus_of(car)}  # the car's side: it transmits its answers
    for definition in definitions:
        answer = ecus[definition.response_id].answer(did.request(definition.did))
        assert answer is not None, definition.request_name
        assert did.decode(definition, answer).values, definition.request_name
