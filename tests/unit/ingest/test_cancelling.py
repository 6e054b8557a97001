"""Tasks that end when they are told to, also where a library forgets that they were told."""

import asyncio

import pytest

from ingest.cancelling import end_tasks


async def forgetful(cancellings: int) -> None:
    """Forgets so many, as a wait of a library does that is over in the same turn."""
    for _ in range(cancellings):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()


@pytest.mark.parametrize("cancellings", [0, 1, 3])
async def test_a_forgotten_cancelling_is_asked_for_again(cancellings: int) -> None:
    tasks = [asyncio.create_task(forgetful(each)) for each in (0, cancellings)]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await end_tasks(tasks, again_seconds=0.01)
    assert all(task.cancelled() for task in tasks)


@pytest.mark.parametrize("cancelled_before", [False, True])
async def test_a_task_that_ends_in_order_has_the_time_for_it(cancelled_before: bool) -> None:
    ended: list[str] = []

    async def orderly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append("in order")

    task = asyncio.create_task(orderly())
    await asyncio.sleep(0)
    if cancelled_before:
        task.cancel()
        await asyncio.sleep(0)
    await end_tasks([task], again_seconds=20)
    assert ended == ["in order"]


async def test_what_a_task_ended_with_stays_with_the_task() -> None:
    async def fails() -> None:
        raise ValueError("of its own")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await end_tasks([task])
    assert isinstance(task.exception(), ValueError)


async def test_no_tasks_are_ended_at_once() -> None:
    await end_tasks([])
