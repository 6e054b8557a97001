"""The TLS context of the connection to the broker, and the certificates in it, read again when they were renewed.

A certificate is renewed by writing new files. Whoever does so need not know of the agent, and an agent that
kept the old ones would be silent from the day they end until somebody starts it again.
"""

import logging
import ssl
from pathlib import Path

from edge_agent.config import TlsConfig
from edge_agent.errors import UplinkError

log = logging.getLogger(__name__)


class BrokerTls:
    """Used by the network thread, between two connections."""

    def __init__(self, tls: TlsConfig) -> None:
        """UplinkError where the files cannot be used."""
        self._tls = tls
        self._seen = self._dates()
        try:
            self.context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
            self._load()
        except (OSError, ssl.SSLError) as error:
            raise UplinkError(
                f"TLS files {tls.ca}, {tls.certificate}, {tls.key} cannot be used: {error}; check mqtt.tls"
            ) from error

    def renew(self) -> None:
        """Read the files again if they are others now; those that cannot be used are told, and the old ones kept."""
        dates = self._dates()
        if dates == self._seen:
            return
        self._seen = dates
        try:
            if self._tls.ca is not None:
                self.context.load_verify_locations(self._tls.ca)
            self._load()
        except (OSError, ssl.SSLError) as error:
            log.warning("the renewed TLS files cannot be used: %s; check mqtt.tls", error)
        else:
            log.info("the TLS files were renewed")

    def _load(self) -> None:
        if self._tls.more_ca is not None and self._tls.more_ca.exists():
            self.context.load_verify_locations(self._tls.more_ca)
        if self._tls.certificate is not None and (self._tls.certificate.exists() or not self._tls.awaited):
            self.context.load_cert_chain(self._tls.certificate, self._tls.key)

    def _dates(self) -> list[tuple[int, int] | None]:
        files = (self._tls.ca, self._tls.more_ca, self._tls.certificate, self._tls.key)
        return [None if path is None else _date(path) for path in files]


def _date(path: Path) -> tuple[int, int] | None:
    """Of the file there now: a renewal by rename may keep the time, but not the inode."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
