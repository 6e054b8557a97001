"""Between receiving and storing: a queue bounded in messages and bytes, emptied in groups."""

import asyncio
from collections import deque

from ingest.decode import Incoming


class Inbox:
    """Messages received and not yet stored.

    When it is full, :meth:`offer` refuses. That loses nothing: what is not committed is not acknowledged, and the
    device sends it again.
    """

    def __init__(self, *, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._messages: deque[Incoming] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._closed = False
        self.refused = 0  # messages since the start

    def __len__(self) -> int:
        return len(self._messages)

    def offer(self, message: Incoming) -> bool:
        """Add a message, or return False where there is no room."""
        if len(self._messages) >= self._max_messages or self._bytes + len(message.payload) > self._max_bytes:
            self.refused += 1
            return False
        self._messages.append(message)
        self._bytes += len(message.payload)
        self._arrived.set()
        return True

    def close(self) -> None:
        """Nothing more will come: :meth:`take` hands out what is left and then empty groups."""
        self._closed = True
        self._arrived.set()

    async def take(self, *, max_messages: int, max_bytes: int, linger_seconds: float) -> list[Incoming]:
        """Next group: waits for a first message, then at most ``linger_seconds`` for more. Empty once closed."""
        while not self._messages and not self._closed:
            self._arrived.clear()
            await self._arrived.wait()
        if len(self._messages) < max_messages and self._bytes < max_bytes and not self._closed:
            await asyncio.sleep(linger_seconds)
        group: list[Incoming] = []
        size = 0
        while self._messages and len(group) < max_messages and (not group or size < max_bytes):
            message = self._messages.popleft()
            size += len(message.payload)
            group.append(message)
        self._bytes -= size
        return group
