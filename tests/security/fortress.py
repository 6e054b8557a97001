"""A broker as `wearcast broker config` writes it, an authority, and clients that try what they can."""

import getpass
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from firmware_profiles import certificates
from firmware_profiles.authority import Authority
from ingest.brokers import mosquitto, nats
from ingest.brokers.branch import Access, Permitted
from ingest.brokers.folder import Kind, Setup, password_file, write_broker
from ingest.brokers.reload import Applied, apply
from ingest.enrolment.port import RevokedSerial
from telemetry.subject import Subject, device_subject, service_subject
from wearcast.authority_signer import AuthoritySigner
from wearcast.embedded.mosquitto import mosquitto_program
from wearcast.embedded.nats import _server, free_port
from wearcast.embedded.processes import ManagedProcess

KINDS: tuple[Kind, ...] = ("nats", "mosquitto")
HOST = "127.0.0.1"
SECONDS = 20.0
SERVICE = "ingest"
_QUIET_SECONDS = 0.3  # how long is listened for what must not come

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
        process.wait_for_line("Server is ready" if self.kind == "nats" else "mosquitto version .* running", SECONDS)
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
            time.sleep(0.2)  # the line comes before the work is done
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


Event = tuple[Literal["connected", "refused", "disconnected"], str]


class Client:
    """A paho client that notes what happens to it. It comes connected, or refused (see `events`)."""

    def __init__(
        self,
        port: int,
        ca: Path,
        files: Files | None,
        *,
        client_id: str,
        subscribe: Sequence[str] = (),
        clean: bool = True,
        will: str | None = None,
        login: tuple[str, str] | None = None,
        again: bool = True,
    ) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.granted: dict[int, bool] = {}
        self.acknowledged: set[int] = set()
        self.events: list[Event] = []
        self._filters = subscribe
        self._changed = threading.Condition()
        self.mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=clean,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=again,
        )
        context = ssl.create_default_context(cafile=str(ca))
        if files is not None:
            context.load_cert_chain(*files)
        self.mqtt.tls_set_context(context)
        if login is not None:
            self.mqtt.username_pw_set(*login)
        if will is not None:
            self.mqtt.will_set(will, b"will", qos=1, retain=True)
        self.mqtt.on_connect = self._on_connect
        self.mqtt.on_disconnect = lambda _c, _u, _f, code, _p: self._note(("disconnected", str(code)))
        self.mqtt.on_subscribe = lambda _c, _u, mid, codes, _p: self._do(
            lambda: self.granted.__setitem__(mid, not codes[0].is_failure)
        )
        self.mqtt.on_publish = lambda _c, _u, mid, _code, _p: self._do(lambda: self.acknowledged.add(mid))
        self.mqtt.on_message = lambda _c, _u, message: self._do(
            lambda: self.received.append((message.topic, bytes(message.payload)))
        )
        self.mqtt.reconnect_delay_set(1, 1)
        try:
            self.mqtt.connect(HOST, port)
        except (ssl.SSLError, OSError) as error:
            self._note(("refused", str(error)))
            self.mqtt._reset_sockets()  # paho leaves them to the garbage collector
            return
        self.mqtt.loop_start()
        self.until(lambda: bool(self.events) and len(self.granted) >= (len(subscribe) if self.is_connected else 0))

    @property
    def is_connected(self) -> bool:
        return bool(self.events) and self.events[-1][0] == "connected"

    @property
    def was_refused(self) -> bool:
        """Whether it never got in."""
        return bool(self.events) and all(event[0] != "connected" for event in self.events)

    @property
    def disconnections(self) -> int:
        return sum(event[0] == "disconnected" for event in self.events)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the broker's acknowledgement."""
        mid = self.mqtt.publish(topic, payload, qos=1, retain=retain).mid
        self.until(lambda: mid in self.acknowledged)

    def subscribe(self, topic: str) -> bool:
        """Ask for a subscription; whether it was granted."""
        _, mid = self.mqtt.subscribe(topic, qos=1)
        assert mid is not None
        self.until(lambda: mid in self.granted)
        return self.granted[mid]

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, SECONDS), (
                f"events {self.events}, received {self.received[-5:]}, granted {self.granted}"
            )

    def hears_nothing(self, seconds: float = _QUIET_SECONDS) -> bool:
        """Whether nothing has come, and nothing comes for a while."""
        with self._changed:
            return not self._changed.wait_for(lambda: bool(self.received), seconds)

    def hears_only(self, *messages: tuple[str, bytes], seconds: float = _QUIET_SECONDS) -> bool:
        """Whether these come, in this order, and nothing else for a while."""
        self.until(lambda: len(self.received) >= len(messages))
        with self._changed:
            self._changed.wait_for(lambda: len(self.received) > len(messages), seconds)
            return self.received == list(messages)

    def _on_connect(self, _client: object, _userdata: object, _flags: object, code: Any, _properties: object) -> None:
        if code.is_failure:
            self._note(("refused", str(code)))
            return
        for topic in self._filters:
            self.mqtt.subscribe(topic, qos=1)
        self._note(("connected", ""))

    def _note(self, event: Event) -> None:
        self._do(lambda: self.events.append(event))

    def _do(self, change: Callable[[], object]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()
        self.mqtt._reset_sockets()


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
