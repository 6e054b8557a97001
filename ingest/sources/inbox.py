"""Between receiving and storing: a queue bounded in messages and bytes, emptied in groups."""

import asyncio
from collections import deque
from contextlib import suppress

from ingest.decoding.decode import Incoming


class Inbox:
    """Messages received and not yet stored.

    When it is full, :meth:`offer` refuses. That loses nothing: what is not committed is not acknowledged, and the
    device sends it again. An empty one takes a message of any size, else that one would stand in the way for ever.
    """

    def __init__(self, *, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._messages: deque[Incoming] = deque()
        self._bytes = 0
        self._enough = asyncio.Event()
        self._wanted = (1, 0)  # messages, bytes: one of the two is enough
        self._closed = False
        self.refused = 0  # messages since the start

    def __len__(self) -> int:
        return len(self._messages)

    def offer(self, message: Incoming) -> bool:
        """Add a message, or return False where there is no room, or nothing is taken in any more."""
        if self._closed:
            return False
        full = len(self._messages) >= self._max_messages or self._bytes + len(message.payload) > self._max_bytes
        if full and self._messages:
            self.refused += 1
            return False
        self._messages.append(message)
        self._bytes += len(message.payload)
        if self._is_enough():
            self._enough.set()
        return True

    def close(self) -> None:
        """Nothing more will come: :meth:`take` hands out what is left and then empty groups."""
        self._closed = True
        self._enough.set()

    async def take(self, *, max_messages: int, max_bytes: int, linger_seconds: float) -> list[Incoming]:
        """Next group: waits for a first message, then at most ``linger_seconds`` for more. Empty once closed."""
        await self._wait_for(1, 0)
        with suppress(TimeoutError):
            async with asyncio.timeout(linger_seconds):
                await self._wait_for(max_messages, max_bytes)
        group: list[Incoming] = []
        size = 0
        while self._messages and len(group) < max_messages and (not group or size < max_bytes):
            message = self._messages.popleft()
            size += len(message.payload)
            group.append(message)
        self._bytes -= size
        return group

    async def _wait_for(self, messages: int, size: int) -> None:
        self._wanted = (messages, size)
        if not self._closed and not self._is_enough():
            self._enough.clear()
            await self._enough.wait()

    def _is_enough(self) -> bool:
        messages, size = self._wanted
        return len(self._messages) >= messages or self._bytes >= size > 0
