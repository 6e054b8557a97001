"""Runs the enrolment service as a process of its own: HTTPS alone, whose certificate it gives to itself."""

import logging
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvicorn

from ingest.database import Connection, open_pool
from ingest.enrolment.app import create_app
from ingest.enrolment.desk import EnrolmentDesk, Terms
from ingest.enrolment.revocations import ListSigner, RevocationKeeper
from ingest.errors import EnrolmentError

log = logging.getLogger("wearcast.enrolment")

SERVER_DAYS: Final = 30
_LOOK_EVERY_SECONDS: Final = 3600.0
_CONCURRENT: Final = 200  # connections; who comes then is told 503
_KEEP_ALIVE_SECONDS: Final = 5


@dataclass(frozen=True, kw_only=True)
class ServerCredentials:
    """Certificate and key of the service itself, PEM. The key is left out of ``repr``."""

    certificate_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return "ServerCredentials(…)"


@dataclass(frozen=True, kw_only=True)
class EnrolmentConfig:
    """What the service needs. ``credentials`` gives its own certificate for so many days, again and again."""

    database_url: str
    signer: ListSigner
    credentials: Callable[[int], ServerCredentials]
    terms: Terms
    host: str
    port: int


class _Server(uvicorn.Server):
    """Says when it is ready, in one line."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            log.info("enrolment ready at %s", enrolment_address(self))


def enrolment_address(server: uvicorn.Server) -> str:
    """Where a running server listens."""
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


@contextmanager
def enrolment_server(config: EnrolmentConfig) -> Iterator[uvicorn.Server]:
    """A server that is not running yet, with its database and its revocation list kept for the time of the block."""
    logging.getLogger("uvicorn.access").disabled = True
    keeper = RevocationKeeper(config.database_url, config.signer)
    with open_pool(config.database_url, application_name="wearcast-enrolment", max_size=8) as pool:

        def connect() -> AbstractContextManager[Connection]:
            return pool.connection()

        app = create_app(EnrolmentDesk(connect=connect, signer=config.signer, terms=config.terms))
        with own_context(config.credentials) as context:
            settings = uvicorn.Config(
                app,
                host=config.host,
                port=config.port,
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,  # TLS ends here: such a header is the sender's own, and attempts go by addresses
                limit_concurrency=_CONCURRENT,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=5,
                ssl_context_factory=lambda _config, _default: context,
            )
            keeper.start()
            try:
                yield _Server(settings)
            finally:
                keeper.stop()


def serve(config: EnrolmentConfig) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first."""
    with enrolment_server(config) as server:
        server.run()


@contextmanager
def own_context(credentials: Callable[[int], ServerCredentials]) -> Iterator[ssl.SSLContext]:
    """TLS of the service; its certificate is exchanged in the running context at two thirds of its life."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, credentials(SERVER_DAYS))
    loaded_at = datetime.now(UTC)
    stop = threading.Event()

    def renew() -> None:
        nonlocal loaded_at
        while not stop.wait(_LOOK_EVERY_SECONDS):
            if (datetime.now(UTC) - loaded_at).days < SERVER_DAYS * 2 // 3:
                continue
            try:
                _load(context, credentials(SERVER_DAYS))
            except (EnrolmentError, OSError) as error:
                log.warning("the service keeps its present certificate, and tries again within the hour: %s", error)
            else:
                loaded_at = datetime.now(UTC)

    thread = threading.Thread(target=renew, name="own certificate")
    thread.start()
    try:
        yield context
    finally:
        stop.set()
        thread.join()


def _load(context: ssl.SSLContext, given: ServerCredentials) -> None:
    """OpenSSL reads files alone: a private one that is gone in a moment."""
    with tempfile.TemporaryDirectory(prefix="wearcast-") as folder:  # mode 0700
        file = Path(folder) / "server.pem"
        file.write_bytes(given.certificate_pem + given.key_pem)
        try:
            context.load_cert_chain(file)
        except ssl.SSLError as error:
            raise EnrolmentError(f"the service's own certificate cannot be used: {error}") from error
