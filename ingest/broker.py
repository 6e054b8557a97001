"""How the backend connects to the broker: one place decides protocol, TLS and socket options."""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiomqtt

from ingest.errors import BrokerError

_ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class BrokerConfig:
    """Where the broker is and who connects. Certificate files only where it asks for a client's."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: Path | None = None  # who vouches for the broker; None: the system's authorities
    certificate_file: Path | None = None  # of this client, with key_file
    key_file: Path | None = None


def tls_context(config: BrokerConfig) -> ssl.SSLContext | None:
    """What a connection needs for TLS, None without; BrokerError where a file for it cannot be used."""
    if not config.tls:
        return None
    try:
        tls = ssl.create_default_context(cafile=config.ca_file)
        if config.certificate_file is not None:
            tls.load_cert_chain(config.certificate_file, config.key_file)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(str(file) for file in (config.ca_file, config.certificate_file, config.key_file) if file)
        raise BrokerError(f"{files}: cannot be used for TLS ({error}); check WEARCAST_BROKER_CA") from error
    return tls


class Client(aiomqtt.Client):
    """aiomqtt's, set up as the settings say. With ``clean_session`` the broker forgets it at the end.

    ``timeout_s``: how long the broker has for each of its answers. Nothing is waited for on a closed connection.
    """

    def __init__(
        self, config: BrokerConfig, *, client_id: str, clean_session: bool, timeout_s: float = _ANSWER_SECONDS
    ) -> None:
        """Not yet connected. BrokerError where a file for TLS cannot be used."""
        super().__init__(
            config.host,
            config.port,
            identifier=client_id,
            username=config.username,
            password=config.password,
            tls_context=tls_context(config),
            clean_session=clean_session,
            timeout=timeout_s,
            protocol=aiomqtt.ProtocolVersion.V311,  # what the default broker speaks
            max_inflight_messages=1000,
            socket_options=[
                # Without it Nagle's algorithm holds a small publication back for the peer's delayed ACK: 40 ms each.
                (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            ],
        )

    def _on_disconnect(self, *told: Any) -> None:
        if self._connected.done():
            super()._on_disconnect(*told)
        else:
            self._connected.set_exception(aiomqtt.MqttError("the broker closed the connection before it answered"))


@asynccontextmanager
async def connected(client: aiomqtt.Client) -> AsyncIterator[aiomqtt.Client]:
    """Be connected for the time of the block, and end in order also when cancelled in the middle of connecting.

    aiomqtt itself then leaves a socket behind, whose closing fails loudly after the event loop is gone.
    """
    connecting = asyncio.create_task(client.__aenter__(), name="connect to the broker")
    try:
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with suppress(aiomqtt.MqttError):
            await connecting
            await client.__aexit__(None, None, None)
        raise
    try:
        yield client
    finally:
        await client.__aexit__(*sys.exc_info())
