"""Ending tasks: a cancellation that a library forgets is asked for again."""

import asyncio
from collections.abc import Collection
from typing import Any, Final

AGAIN_SECONDS: Final = 15.0  # longer than any of our tasks takes to end in order


async def end_tasks(tasks: Collection["asyncio.Task[Any]"], *, again_seconds: float = AGAIN_SECONDS) -> None:
    """Cancel them and wait until each has ended, whatever it ends with.

    asyncio.wait_for of Python 3.11 forgets the cancelling where what it waits for is done in the same turn of the loop
    (github.com/python/cpython/issues/86296, mended in 3.12), and nats-py waits with it: a task cancelled once might
    never end, and its worker with it. One that was cancelled before has the same time to end in order.
    """
    pending = {task for task in tasks if not task.done()}
    for task in pending:
        if not task.cancelling():
            task.cancel()
    while pending:
        _, pending = await asyncio.wait(pending, timeout=again_seconds)
        for task in pending:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)  # else asyncio would log an error as one nobody asked for
