"""Answers that come past the store: taken within their device's limit, and dropped beyond it."""

import asyncio
from uuid import uuid4

from ingest.warden.bucket import Allowance
from ingest.warden.limits import Limits
from ingest.worker import WorkerConfig, _Worker
from telemetry.service import ServiceResult, encode_service_result
from tests.unit.ingest.test_courier import NOW

LIMITS = Limits(
    messages=Allowance(per_second=0.001, burst=5), bytes=Allowance(per_second=0.001, burst=1e6),
    over=Allowance(per_second=0.001, burst=5),
)  # fmt: skip


def worker(limits: Limits | None) -> _Worker:
    return _Worker(WorkerConfig(database_url="postgresql://nowhere", limits=limits), asyncio.Event())


def taken(under_test: _Worker, answers: int, device: str = "car-1") -> int:
    """How many of a device's answers are there to be noted."""
    for _ in range(answers):
        answer = encode_service_result(ServiceResult(id=uuid4(), device=device, state="applied", time=NOW))
        assert under_test._take_aside(f"wearcast/v1/{device}/results/service", answer)
    return under_test.courier._results.qsize()


async def test_answers_beyond_the_limit_of_their_device_are_dropped() -> None:
    limited = worker(LIMITS)
    assert taken(limited, 100) == 5
    assert taken(limited, 1, "car-2") == 6
    assert taken(worker(None), 100) == 100


async def test_what_is_for_the_store_is_counted_there() -> None:
    limited = worker(LIMITS)
    for _ in range(100):
        assert not limited._take_aside("wearcast/v1/car-1/readings", b"a batch")
    assert taken(limited, 1) == 1
