"""The wire format byte for byte: devices in the field will go on sending what these vectors say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from telemetry import asyncapi, wire
from telemetry.records import DeviceStatus, EventsBatch, ReadingsBatch
from telemetry.topics import DeviceTopic
from tests.golden import make_wire_vectors as maker

GOLDEN = Path(__file__).parent.parent / "golden"
STORED: dict[str, dict[str, str]] = json.loads((GOLDEN / "wire_vectors.json").read_text())


READINGS = DeviceTopic(device=maker.DEVICE, channel="readings")


@pytest.mark.parametrize("name", sorted(maker.vectors()))
def test_encoding_gives_the_stored_bytes(name: str) -> None:
    assert maker.vectors()[name]["hex"] == STORED[name]["hex"]


@pytest.mark.parametrize("name", ["readings compact", "readings json", "readings deflated"])
def test_stored_readings_decode_to_the_batch(name: str) -> None:
    decoded = wire.decode_message(READINGS, bytes.fromhex(STORED[name]["hex"]))
    assert decoded == maker.readings()


@pytest.mark.parametrize("name", ["former readings compact", "former readings json", "former readings deflated"])
def test_what_earlier_versions_send_decodes_without_the_later_fields(name: str) -> None:
    decoded = wire.decode_message(READINGS, bytes.fromhex(STORED[name]["hex"]))
    assert isinstance(decoded, ReadingsBatch)
    batch = maker.readings()
    estimates = tuple(replace(estimate, measurements=None, limited_by="") for estimate in batch.estimates)
    assert decoded == replace(batch, estimates=estimates)


def test_a_status_of_an_earlier_version_and_one_of_a_later_are_both_read() -> None:
    topic = DeviceTopic(device=maker.DEVICE, channel="status")
    former = wire.decode_message(topic, bytes.fromhex(STORED["status json"]["hex"]))
    told = wire.decode_message(topic, bytes.fromhex(STORED["status told json"]["hex"]))
    assert isinstance(former, DeviceStatus)
    assert isinstance(told, DeviceStatus)
    assert (former.oldest_pending_seconds, former.planned) == (None, None)
    assert (told.oldest_pending_seconds, told.planned) == (40, False)
    later = {**json.loads(bytes.fromhex(STORED["status told json"]["hex"])), "of_tomorrow": 1}
    assert wire.decode_message(topic, json.dumps(later).encode()) == told


def test_every_stored_vector_decodes() -> None:
    for vector in STORED.values():
        payload = bytes.fromhex(vector["hex"])
        if vector["channel"] == "acks":
            assert wire.decode_ack(maker.DEVICE, payload).covers(8)
        elif vector["channel"] == "events":
            decoded = wire.decode_message(DeviceTopic(device=maker.DEVICE, channel="events"), payload)
            assert isinstance(decoded, EventsBatch)
            assert decoded.events[0].data["code"] == "P0301"
        elif vector["channel"] == "status":
            status = wire.decode_message(DeviceTopic(device=maker.DEVICE, channel="status"), payload)
            assert isinstance(status, DeviceStatus)
            assert status.pending_batches == 3


def test_asyncapi_document_is_what_the_code_says() -> None:
    stored = yaml.safe_load((Path(__file__).parent.parent.parent / "docs" / "asyncapi.yaml").read_text())
    assert stored == asyncapi.document(), "run: python -m telemetry.asyncapi > docs/asyncapi.yaml"
