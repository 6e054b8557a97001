"""From the fingerprint to MQTT: an agent that was told nothing of the car reads it by the maker's own identifiers."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.agent import run_agent
from edge_agent.build import build_estimators, build_profile, build_source
from edge_agent.can_bus import CanBusConfig
from edge_agent.config import AgentConfig, MqttConfig, SourceConfig
from edge_agent.profile_dids import did_documents
from edge_agent.vehicle_watch import ENGINE_SPEED
from firmware_profiles.loader import load_vehicle_profile
from telemetry.records import EventKind, EventsBatch, ReadingsBatch, VehicleEvent
from tests.integration.test_uplink_broker import FAST, Backend, backend_on, eventually
from tests.unit.edge_agent.obd_support import car_on, virtual_bus
from tests.unit.edge_agent.vin_support import vin_of
from wearcast.embedded.nats import Broker

pytestmark = pytest.mark.broker

# One with 11 bit identifiers, one with a battery behind 29 bit ones, one petrol car with oil life behind 29 bit ones.
CARS = ["hyundai_kona_electric", "volkswagen_id4", "chevrolet_silverado_1500"]
OWN = {
    "hyundai_kona_electric": "Vehicle.Powertrain.TractionBattery.StateOfHealth",
    "volkswagen_id4": "Vehicle.Powertrain.TractionBattery.CurrentVoltage",
    "chevrolet_silverado_1500": "Vehicle.Powertrain.CombustionEngine.EngineOil.LifeRemainingPercent",
}


@pytest.fixture
def backend(broker: Broker) -> Iterator[Backend]:
    with backend_on(broker) as running:
        yield running


@contextmanager
def car_of(profile_name: str, bus: CanBusConfig) -> Iterator[str]:
    """A virtual car whose ECUs answer as the profile says; its VIN."""
    profile = load_vehicle_profile(profile_name)
    vin = vin_of(profile)
    kind = "electric" if profile.kind == "electric" else "petrol"
    with car_on(bus, vin=vin, kind=kind, dids=did_documents(profile)):
        yield vin


@contextmanager
def agent_on(bus: CanBusConfig, broker: Broker, folder: Path) -> Iterator[None]:
    config = AgentConfig(
        device="car-1",
        source=SourceConfig(
            kind="obd_can", options={"interface": "virtual", "channel": bus.channel, "timeout": "500ms"}
        ),
        vehicle_profile="auto",
        outbox_path=folder / "outbox.sqlite",
        mqtt=MqttConfig(host=broker.host, port=broker.port),
        uplink=FAST,
        batch_seconds=0.2,
        stop_grace_seconds=5.0,
        folder=folder,
    )
    profile = build_profile(config)
    stop = threading.Event()
    arguments = (config, build_source(config, profile), build_estimators(config, profile), stop)
    thread = threading.Thread(target=run_agent, args=arguments, name="agent")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def identified(backend: Backend) -> list[VehicleEvent]:
    return [
        event
        for batch in tuple(backend.committed.values())
        if isinstance(batch, EventsBatch)
        for event in batch.events
        if event.kind is EventKind.VEHICLE_IDENTIFIED
    ]


def values(backend: Backend, path: str) -> list[float]:
    return [
        sample.values[path]
        for batch in tuple(backend.committed.values())
        if isinstance(batch, ReadingsBatch)
        for sample in batch.samples
        if path in sample.values
    ]


@pytest.mark.parametrize("name", CARS)
def test_a_car_is_recognised_and_its_own_values_arrive(
    name: str, broker: Broker, backend: Backend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bus = virtual_bus()
    with caplog.at_level(logging.INFO), car_of(name, bus) as vin, agent_on(bus, broker, tmp_path):
        eventually(lambda: bool(identified(backend)), "the car is identified")
        eventually(lambda: bool(values(backend, OWN[name])), "a value of the maker's own arrives")
    event = identified(backend)[0]
    assert event.data["vin"] == vin
    assert event.data["profile"] == name
    certainty, reasons = event.data["certainty"], event.data["reasons"]
    assert isinstance(certainty, float)
    assert certainty > 0.9
    assert isinstance(reasons, list)
    assert any("answered plausibly" in reason for reason in reasons)
    assert all(0 < value < 1000 for value in values(backend, OWN[name]))
    assert f"is read by the profile {name}" in caplog.text
    assert vin not in caplog.text


def test_an_unknown_car_of_29_bit_identifiers_is_read_at_once(broker: Broker, backend: Backend, tmp_path: Path) -> None:
    bus = virtual_bus()
    with car_on(bus, vin="ZFA31200000123456", identifier_bits=29), agent_on(bus, broker, tmp_path):
        eventually(lambda: bool(identified(backend)), "the car is told")
        eventually(lambda: bool(values(backend, ENGINE_SPEED)), "and read by standard OBD")
    data = identified(backend)[0].data
    assert (data["profile"], data["reasons"]) == ("generic", ["No profile fits what this car shows of itself."])


def test_a_restart_asks_nothing_and_another_car_is_found_out(
    broker: Broker, backend: Backend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = CARS[0], CARS[2]
    bus = virtual_bus()
    with car_of(first, bus), agent_on(bus, broker, tmp_path):
        eventually(lambda: len(identified(backend)) == 1, "recognised")
    bus = virtual_bus()
    caplog.clear()
    with caplog.at_level(logging.INFO), car_of(first, bus), agent_on(bus, broker, tmp_path):
        eventually(lambda: len(identified(backend)) == 2, "told again after the restart")
    assert "is read by the profile" not in caplog.text
    bus = virtual_bus()
    with car_of(second, bus) as vin, agent_on(bus, broker, tmp_path):
        eventually(lambda: len(identified(backend)) == 3, "the other car is told")
        eventually(lambda: bool(values(backend, OWN[second])), "and read by its own profile")
    events = identified(backend)
    assert [event.data["profile"] for event in events] == [first, first, second]
    assert events[2].data["vin"] == vin
