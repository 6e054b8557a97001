"""How the backend connects to a NATS cluster: several servers, one user, TLS."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import nats.errors
from nats.aio.client import Client

from ingest.broker_connection import tls_context
from ingest.errors import BrokerError

logger = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 5
# A server that stands still is left after two of them without an answer.
_PING_SECONDS: Final = 5
_FLUSH_SECONDS: Final = 2
_OF_THE_NETWORK: Final = (nats.errors.Error, OSError, TimeoutError)


@dataclass(frozen=True, kw_only=True)
class NatsConfig:
    """Where the servers are and who connects. Any of them will do; files only for TLS."""

    servers: tuple[str, ...]  # nats://host:4222, or tls://… with TLS
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None  # who vouches for the servers; None: the system's authorities
    certificate_file: Path | None = None  # of this client, with key_file
    key_file: Path | None = None

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.servers[0].startswith("tls://")


@dataclass(frozen=True, kw_only=True)
class NatsConnection:
    """An open connection; ``lost`` is set once it is no more. It is not renewed by itself."""

    client: Client
    lost: asyncio.Event


@asynccontextmanager
async def nats_connection(config: NatsConfig, *, name: str) -> AsyncIterator[NatsConnection]:
    """Be connected to one of the servers for the time of the block; what was published in it is sent at the end.

    BrokerError says which of them could not be reached, or what was refused.
    """
    lost = asyncio.Event()
    troubles: list[str] = []

    async def trouble(error: Exception) -> None:
        troubles[:] = [_text(error)]
        if "permissions violation" in str(error).lower():
            logger.warning("the broker refused the user of WEARCAST_NATS_URL something it needs: %s", error)
        elif not isinstance(error, _OF_THE_NETWORK):  # raised by what receives messages
            logger.error("a message could not be received: %s", type(error).__name__, exc_info=error)

    async def closed() -> None:
        lost.set()

    client = Client()
    try:
        await client.connect(
            list(config.servers),
            name=name,
            user=config.username,
            password=config.password,
            tls=tls_context(config),
            allow_reconnect=False,  # the source does it: it asks anew for what the former connection asked
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=_CONNECT_SECONDS,
            ping_interval=_PING_SECONDS,
            error_cb=trouble,
            closed_cb=closed,
        )
    except _OF_THE_NETWORK as error:
        await _close(client)
        why = troubles[0] if troubles and isinstance(error, nats.errors.NoServersError) else _text(error)
        raise BrokerError(
            f"no NATS server of {', '.join(config.servers)} lets us in ({why}); check WEARCAST_NATS_URL"
        ) from error
    try:
        yield NatsConnection(client=client, lost=lost)
    finally:
        with suppress(*_OF_THE_NETWORK):
            if not client.is_closed:
                await client.flush(_FLUSH_SECONDS)
        await _close(client)


async def _close(client: Client) -> None:
    transport = client._transport  # noqa: SLF001 - close() leaves the socket of a refused connection open
    await client.close()
    if transport is not None:
        transport.close()  # type: ignore[no-untyped-call]


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
