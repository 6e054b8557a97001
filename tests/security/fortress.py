"""A broker as `wearcast broker config` writes it, an authority, and clients that try what they can."""

import getpass
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from firmware_profiles import certificates
from firmware_profiles.authority import Authority
from ingest.brokers import mosquitto, nats
from ingest.brokers.branch import Access, Permitted
from ingest.brokers.folder import Kind, Setup, password_file, write_broker
from ingest.brokers.reload import Applied, apply
from ingest.enrolment.port import RevokedSerial
from telemetry.subject import Subject, device_subject, service_subject
from tests.noting_client import HOST, SECONDS, NotingClient
from wearcast.authority_signer import AuthoritySigner
from wearcast.embedded.errors import ProcessError
from wearcast.embedded.mosquitto import mosquitto_program
from wearcast.embedded.nats import _server
from wearcast.embedded.ports import free_port
from wearcast.embedded.processes import ManagedProcess

KINDS: tuple[Kind, ...] = ("nats", "mosquitto")
SERVICE = "ingest"

Files = tuple[Path, Path]  # certificate and key


def attack(name: str, *, answer: str) -> pytest.MarkDecorator:
    """Marks a test as an attack of the list in docs/security.md."""
    return pytest.mark.attack(name=name, answer=answer)


class Fortress:
    """A running broker. `permitted` are let in; :meth:`apply` after a change of it."""

    def __init__(self, kind: Kind, home: Path, permitted: Sequence[Permitted]) -> None:
        self.kind = kind
        self.home = home
        self.access = Access(permitted=tuple(permitted))
        self.authority = Authority.open_or_create(home / "authority")
        self.folder = home / "broker"
        self.port, services, monitor = (free_port() for _ in range(3))
        self.services_port = services
        self._minted = 0
        (self.home / "data").mkdir()
        server = self.authority.issue_server_certificate([HOST])
        self.tls = nats.TlsFiles(
            certificate=self._stored("broker.pem", server.certificate_pem),
            key=self._stored("broker-key.pem", server.key_pem),
            ca=home / "authority" / "ca.pem",
        )
        self.revoke(())
        pid_file = home / "broker.pid"
        control = monitor if kind == "nats" else services
        self.setup = Setup(
            kind=kind, pid_file=pid_file, services=(SERVICE,), control=f"{HOST}:{control}", ca=self.tls.ca
        )
        write_broker(self.folder, self.setup, *self._main(pid_file), self.access)
        self.process = self._started()

    def _main(self, pid_file: Path) -> tuple[str, str]:
        data = self.home / "data"
        listen, services = f"{HOST}:{self.port}", f"{HOST}:{self.services_port}"
        if self.kind == "nats":
            node = nats.Node(
                name="wearcast",
                data=data,
                tls=self.tls,
                pid_file=pid_file,
                mqtt_listen=listen,
                nats_listen=services,
                monitor_listen=self.setup.control,
            )
            return nats.MAIN_FILE, nats.main_text(node)
        server = mosquitto.Server(
            folder=self.folder,
            data=data,
            tls=self.tls,
            pid_file=pid_file,
            listen=listen,
            services_listen=services,
            user=getpass.getuser(),
        )
        return mosquitto.MAIN_FILE, mosquitto.main_text(server)

    def _started(self) -> ManagedProcess:
        program = _server() if self.kind == "nats" else mosquitto_program()
        file = nats.MAIN_FILE if self.kind == "nats" else mosquitto.MAIN_FILE
        process = ManagedProcess.start(
            [program, "-c", self.folder / file], name=f"Broker {self.kind}", log_path=self.home / "broker.log"
        )
        try:
            process.wait_for_line("Server is ready" if self.kind == "nats" else "mosquitto version .* running", 60)
        except ProcessError:
            process.kill()  # nobody else would: it would be found running, and blamed, in the midst of another test
            raise
        return process

    def stop(self) -> None:
        self.process.stop()

    @property
    def reloads(self) -> int:
        """How often it has read its files again."""
        line = "Reloaded server configuration" if self.kind == "nats" else "Reloading config"
        return self.process.output().count(line)

    def revoke(self, serials: Sequence[int]) -> None:
        """Put a revocation list of these serial numbers into what the broker will be told."""
        now = datetime.now(UTC)
        revoked = [RevokedSerial(serial=f"{serial:x}", revoked_at=now) for serial in serials]
        pem, _, _ = AuthoritySigner(self.authority).sign_revocations(revoked, number=1 + len(serials), valid_days=1)
        self.access = Access(
            permitted=self.access.permitted, blocked=self.access.blocked, revocation_lists=(pem.decode(),)
        )

    def permit(self, *permitted: Permitted) -> None:
        self.access = Access(permitted=permitted, revocation_lists=self.access.revocation_lists)

    def apply(self) -> Applied:
        """As `wearcast broker apply`, and wait until the broker has read it."""
        before = self.reloads
        applied = apply(self.folder, self.setup, self.access)
        if applied.told:
            deadline = time.monotonic() + SECONDS
            while self.reloads == before:
                assert time.monotonic() < deadline, self.process.output()[-2000:]
                time.sleep(0.01)
            # NATS says so when the work is done. Mosquitto when it begins, but it has one thread: it looks at no
            # connection before the work is done.
        return applied

    # Certificates

    def certificate(
        self, subject: Subject, *, authority: Authority | None = None, names: Sequence[str] = (), hours: float = 1
    ) -> Files:
        """A client certificate with any subject, as no authority of ours would give it."""
        signer = authority or self.authority
        key = ec.generate_private_key(ec.SECP256R1())
        made = signer.certify(
            subject,
            key.public_key(),
            datetime.now(UTC) + timedelta(hours=hours),
            usages=[ExtendedKeyUsageOID.CLIENT_AUTH],
            names=names,
        )
        self._minted += 1
        return (
            self._stored(f"{self._minted}.pem", certificates.certificate_pem(made)),
            self._stored(f"{self._minted}-key.pem", certificates.key_pem(key)),
        )

    def of(self, device: str, generation: int = 0) -> Files:
        """A good certificate of a device."""
        return self.certificate(device_subject(device, generation))

    def _stored(self, name: str, content: bytes) -> Path:
        path = self.home / name
        path.write_bytes(content)
        return path

    # Clients

    def device(self, device: str, *, generation: int = 0, client_id: str | None = None, **options: Any) -> "Client":
        """A device as it should be, but for what is given."""
        name = device if client_id is None else client_id
        return Client(self.port, self.tls.ca, self.of(device, generation), client_id=name, **options)

    def service(self, *, client_id: str = "wearcast-ingest-1", **options: Any) -> "Client":
        """The backend's end: of NATS with a certificate, of Mosquitto with its password."""
        if self.kind == "nats":
            files = self.certificate(service_subject(SERVICE))
            return Client(self.port, self.tls.ca, files, client_id=client_id, **options)
        password = password_file(self.folder, SERVICE).read_text().strip()
        return Client(self.services_port, self.tls.ca, None, client_id=client_id, login=(SERVICE, password), **options)


class Client(NotingClient):
    """With a certificate, or without; of the fortress's authority it knows the broker."""

    def __init__(self, port: int, ca: Path, files: Files | None, *, client_id: str, **options: Any) -> None:
        context = ssl.create_default_context(cafile=str(ca))
        if files is not None:
            context.load_cert_chain(*files)
        super().__init__(port, client_id=client_id, tls=context, **options)


@contextmanager
def fortress_of(kind: Kind, home: Path, *devices: str | Permitted) -> Iterator[Fortress]:
    """A running broker that lets these devices in, by certificates of generation 0 where only a name is given."""
    permitted = [
        device if isinstance(device, Permitted) else Permitted(device=device, generation=0) for device in devices
    ]
    fortress = Fortress(kind, home, permitted)
    try:
        yield fortress
    finally:
        fortress.stop()
