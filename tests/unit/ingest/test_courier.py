"""The courier's ear: which messages are answers to service records, and what happens to the others."""

import logging
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from ingest.outbound.courier import _MOST_RESULTS, Courier, CourierConfig
from telemetry.service import ServiceResult, encode_service_result

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def courier() -> Courier:
    return Courier(CourierConfig(), database_url="postgresql://nowhere", name="test")


def answer(device: str = "car-1") -> bytes:
    return encode_service_result(ServiceResult(id=uuid4(), device=device, state="applied", time=NOW))


def test_an_answer_is_taken() -> None:
    assert courier().offer("wearcast/v1/car-1/results/service", answer())


@pytest.mark.parametrize(
    "topic",
    [
        "wearcast/v1/car-1/results/dtc",
        "wearcast/v1/car-1/results/service/more",
        "wearcast/v1/car 1/results/service",
        "wearcast/v1/car-1/readings",
        "other/v1/car-1/results/service",
    ],
)
def test_other_topics_are_left_to_others(topic: str) -> None:
    assert not courier().offer(topic, answer())


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff" * 9000, answer("car-2")])
def test_rubbish_and_what_speaks_for_another_is_taken_away_and_ignored(
    payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert courier().offer("wearcast/v1/car-1/results/service", payload)
    assert "ignored an answer of car-1" in caplog.text


def test_a_flood_is_bounded_and_told(caplog: pytest.LogCaptureFixture) -> None:
    full = courier()
    with caplog.at_level(logging.WARNING):
        for _ in range(_MOST_RESULTS + 1):
            assert full.offer("wearcast/v1/car-1/results/service", answer())
    assert caplog.text.count("finds no room") == 1
