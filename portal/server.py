"""Runs the portal as a process."""

import logging
import socket
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from portal.app import create_app
from portal.config import PortalConfig
from portal.errors import PortalConfigError

log = logging.getLogger("wearcast.portal")


class _Server(uvicorn.Server):
    """Says when it is ready, in one line."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            log.info("portal ready at %s", portal_address(self))


@dataclass(frozen=True, kw_only=True)
class PortalTls:
    """PEM files of a portal that speaks TLS itself."""

    certificate: Path
    key: Path


def make_server(config: PortalConfig, host: str, port: int, tls: PortalTls | None = None) -> uvicorn.Server:
    """A server that is not running yet; ``port`` 0 takes a free one (then see :func:`portal_address`)."""
    # Its lines hold addresses, and an offer's address is its key. Off for good: `access_log` alone only takes the
    # handlers away, and whoever adds one later would bring the lines back.
    logging.getLogger("uvicorn.access").disabled = True
    return _Server(
        uvicorn.Config(
            create_app(config),
            host=host,
            port=port,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=5,
            ssl_certfile=None if tls is None else tls.certificate,
            ssl_keyfile=None if tls is None else tls.key,
        )
    )


def portal_address(server: uvicorn.Server) -> str:
    """Where a running server listens."""
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    scheme = "https" if server.config.is_ssl else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def serve(config: PortalConfig, host: str, port: int, tls: PortalTls | None = None) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first.

    PortalConfigError where the certificate cannot be used.
    """
    try:
        server = make_server(config, host, port, tls)
        server.config.load()
    except OSError as error:  # ssl.SSLError is one
        raise PortalConfigError(f"certificate or key of the portal cannot be used: {error}") from error
    server.run()
