"""A running enrolment service with an authority of its own, and dongles that ask it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_agent.enrolment.port import Order
from firmware_profiles.authority import Authority
from ingest.database import Connection
from ingest.enrolment import store
from ingest.enrolment.desk import Terms
from ingest.enrolment.server import EnrolmentConfig, ServerCredentials, enrolment_address, enrolment_server
from wearcast.authority_signer import AuthoritySigner

SECONDS = 60.0


def until(what: Callable[[], bool], why: str, seconds: float = SECONDS) -> None:
    """Wait for something, and fail with why."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.02)


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """The service, and what it stands on."""

    url: str
    authority_folder: Path
    connection: Connection

    @property
    def ca(self) -> Path:
        return self.authority_folder / "ca.pem"

    def token(self, device: str, valid_for: timedelta = timedelta(hours=1)) -> str:
        return store.new_token(self.connection, device, valid_for=valid_for, now=datetime.now(UTC))

    def order(self, folder: Path, device: str, token: str | None = None) -> Order:
        """A dongle's, with the token flashed where one is given."""
        folder.mkdir(exist_ok=True)
        token_file = folder / "enrolment-token"
        if token is not None:
            token_file.write_text(token + "\n", encoding="ascii")
        return Order(
            device=device,
            url=self.url,
            ca=str(self.ca),
            folder=str(folder / "identity"),
            token_file=str(token_file),
        )


@contextmanager
def running_enrolment(
    database_url: str, connection: Connection, folder: Path, terms: Terms | None = None
) -> Iterator[Enrolment]:
    """Serve on a free port for the time of the block."""
    authority = Authority.open_or_create(folder)

    def own(days: int) -> ServerCredentials:
        given = authority.issue_server_certificate(["127.0.0.1"], days)
        return ServerCredentials(certificate_pem=given.certificate_pem, key_pem=given.key_pem)

    config = EnrolmentConfig(
        database_url=database_url,
        signer=AuthoritySigner(authority),
        credentials=own,
        terms=Terms() if terms is None else terms,
        host="127.0.0.1",
        port=0,
    )
    with enrolment_server(config) as server:
        thread = threading.Thread(target=server.run, name="enrolment")
        thread.start()
        try:
            until(lambda: server.started, "the service does not start")
            yield Enrolment(url=enrolment_address(server), authority_folder=folder, connection=connection)
        finally:
            server.should_exit = True
            thread.join()
