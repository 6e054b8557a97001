"""A worker in which something fails ends, so that it is started again."""

import asyncio
from functools import partial

import pytest

from ingest import worker
from ingest.cancelling import end_tasks
from ingest.outbound.courier import Courier
from ingest.sources.mqtt import MqttSource
from ingest.worker import WorkerConfig, run_worker


async def test_a_failure_ends_a_worker_also_where_a_cancelling_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    receiving = asyncio.Event()

    async def forgetful(_source: MqttSource) -> None:
        """As what waits with asyncio.wait_for of Python 3.11 may be."""
        try:
            receiving.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def fail(_courier: Courier) -> None:
        await receiving.wait()
        raise ValueError("of its own")

    monkeypatch.setattr(MqttSource, "run", forgetful)
    monkeypatch.setattr(Courier, "run", fail)
    monkeypatch.setattr(worker, "end_tasks", partial(end_tasks, again_seconds=0.01))
    nowhere = WorkerConfig(database_url="postgresql://nobody@127.0.0.1:1/none")
    running = asyncio.create_task(run_worker(nowhere, asyncio.Event()))
    await asyncio.wait([running], timeout=20)
    assert running.done()
    assert isinstance(running.exception(), ExceptionGroup)
