"""How the backend connects to the broker: one place decides protocol, TLS and socket options."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

import aiomqtt

from ingest.errors import BrokerError

_ANSWER_SECONDS: Final = 10.0

T = TypeVar("T")


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


class TlsFiles(Protocol):
    """What a connection to a broker needs for TLS, over MQTT or NATS."""

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        ...

    @property
    def ca_file(self) -> Path | None:
        """Who vouches for the broker; None: the system's authorities."""
        ...

    @property
    def certificate_file(self) -> Path | None:
        """Certificate of this client."""
        ...

    @property
    def key_file(self) -> Path | None:
        """And its key."""
        ...


def tls_context(config: TlsFiles) -> ssl.SSLContext | None:
    """The context of a connection, None without TLS; BrokerError where a file for it cannot be used."""
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
        self._dialled = False  # the socket is ours alone again
        self._left = False

    async def __aenter__(self) -> Self:
        """Connect. Where that fails, or is cancelled, nothing of it is left: no socket, and no client at the broker."""
        try:
            return await super().__aenter__()
        except BaseException:
            self.cut()
            raise

    async def __aexit__(self, *raised: Any) -> None:  # noqa: PYI036 - as aiomqtt has it
        """End in order, or at least end."""
        try:
            await super().__aexit__(*raised)
        finally:
            self.cut()

    def cut(self) -> None:
        """Close what is still open, at once; aiomqtt itself leaves it open where the end was not in order."""
        self._left = True
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        elif not self._disconnected.cancelled():
            self._disconnected.exception()  # else it would be logged as one that nobody heard of
        if self._dialled:
            self._client._sock_close()  # noqa: SLF001 - paho offers no way to close without the broker's help

    async def _wait_for(self, fut: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109 - as aiomqtt has it
        # asyncio.wait_for of Python 3.11 gives the answer and forgets the cancelling where both come at once
        # (github.com/python/cpython/issues/86296): Ctrl-C then ended nothing.
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("the broker did not answer in time") from None

    def _client_connect(self) -> None:
        # On a thread of its own, which no cancelling stops.
        try:
            super()._client_connect()
        finally:
            self._loop.call_soon_threadsafe(self._has_dialled)

    def _has_dialled(self) -> None:
        self._dialled = True
        if self._left:
            self.cut()

    def _on_disconnect(self, *told: Any) -> None:
        if self._left:
            return
        if self._connected.done():
            super()._on_disconnect(*told)
        else:
            self._connected.set_exception(aiomqtt.MqttError("the broker closed the connection before it answered"))

    def _on_socket_register_write(self, _client: Any, _userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._watch_for_writing, sock)

    def _watch_for_writing(self, sock: socket.socket) -> None:
        # Asked for a moment ago: by now it may be closed, and its number another's, or all may be written.
        if self._client.socket() is sock and self._client.want_write():
            self._loop.add_writer(sock.fileno(), self._write)

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing more can be said on this connection
            if not self._disconnected.done():
                self._disconnected.set_exception(aiomqtt.MqttError(f"nothing can be written to the broker: {error}"))
