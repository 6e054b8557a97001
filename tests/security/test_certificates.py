"""Nobody gets in by a certificate that is not good: attacks by identity. Real handshakes, both brokers."""

import itertools
import socket
import ssl
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firmware_profiles.authority import Authority
from telemetry.subject import Subject
from tests.noting_client import HOST, SECONDS
from tests.security.fortress import Client, Files, Fortress, attack

# paho leaves a socket whose handshake failed to the garbage collector
pytestmark = [pytest.mark.broker, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

OWN = "wearcast/v1/car-2/readings"
_numbers = itertools.count(1)


def new_client_id() -> str:
    """One that nobody had: NATS ends who comes again before it has seen the one before go."""
    return f"client-{next(_numbers)}"


def refuses(fortress: Fortress, files: Files | None) -> bool:
    """Whether nobody gets in with these."""
    client = Client(fortress.port, fortress.tls.ca, files, client_id=new_client_id(), again=False)
    client.close()
    return client.was_refused


def harmful(fortress: Fortress, cases: Mapping[str, Files]) -> list[str]:
    """Which of these certificates bring more than a refusal, or a connection on which nothing can be done."""
    topics = [OWN, "wearcast/v1/car-1/readings", "wearcast/v1/car-g3/readings", "wearcast/v1/car-1/acks"]
    filters = ["wearcast/#", "#", "wearcast/v1/car-1/acks", "wearcast/v1/car-2/acks", "wearcast/v1/+/readings"]
    answers = [f"wearcast/v1/{device}/acks" for device in ("car-1", "car-2", "car-g3")]
    with ExitStack() as stack:
        backend = stack.enter_context(fortress.service(subscribe=["wearcast/v1/+/readings"]))
        clients = {}
        for name, files in cases.items():
            client = Client(fortress.port, fortress.tls.ca, files, client_id=new_client_id(), again=False)
            clients[name] = stack.enter_context(client)
            if client.was_refused:
                continue
            for topic in filters:
                client.subscribe(topic)
            for topic in topics:
                client.publish(topic, name.encode())
        for topic in answers:
            backend.publish(topic, b"an answer")
        backend.hears_nothing()
        heard = {name for name, client in clients.items() if client.received}
        said = {payload.decode() for _, payload in backend.received}
    return sorted(heard | said)


def test_a_good_certificate_is_let_in(fortress: Fortress) -> None:
    """Without it the refusals below would say nothing."""
    assert not refuses(fortress, fortress.of("car-2"))
    assert harmful(fortress, {"good": fortress.of("car-2")}) == ["good"]


@attack("no certificate", answer="refused in the handshake")
def test_without_a_certificate(fortress: Fortress) -> None:
    assert refuses(fortress, None)


@attack("no TLS", answer="refused")
def test_without_tls(fortress: Fortress) -> None:
    connect = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05car-2"
    with socket.create_connection((HOST, fortress.port), timeout=SECONDS) as plain:
        plain.sendall(connect)
        try:
            answer = plain.recv(100)
        except ConnectionResetError:
            answer = b""
    assert not answer.startswith(b"\x20")  # CONNACK


@attack("TLS 1.1", answer="refused in the handshake")
def test_old_tls(fortress: Fortress) -> None:
    context = ssl.create_default_context(cafile=str(fortress.tls.ca))
    context.load_cert_chain(*fortress.of("car-2"))
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection((HOST, fortress.port), timeout=SECONDS) as plain,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        context.wrap_socket(plain, server_hostname=HOST)


def of_another_authority(fortress: Fortress, folder: Path) -> Files:
    other = Authority.open_or_create(folder / "another")
    return fortress.certificate(Subject(common_name="car-2"), authority=other)


def expired(fortress: Fortress, _folder: Path) -> Files:
    past = Authority.open_or_create(fortress.home / "authority", clock=lambda: datetime.now(UTC) - timedelta(hours=12))
    return fortress.certificate(Subject(common_name="car-2"), authority=past, hours=-1)


def of_an_older_generation(fortress: Fortress, _folder: Path) -> Files:
    return fortress.of("car-g3", generation=2)


def of_a_later_generation(fortress: Fortress, _folder: Path) -> Files:
    return fortress.of("car-g3", generation=4)


def without_its_generation(fortress: Fortress, _folder: Path) -> Files:
    return fortress.of("car-g3", generation=0)


def nobodys(fortress: Fortress, _folder: Path) -> Files:
    return fortress.of("car-99")


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(
            of_another_authority,
            marks=attack("certificate of another authority", answer="refused in the handshake"),
        ),
        pytest.param(expired, marks=attack("expired certificate", answer="refused in the handshake")),
    ],
)
def test_what_is_not_ours_is_refused(
    fortress: Fortress, tmp_path: Path, forge: Callable[[Fortress, Path], Files]
) -> None:
    assert refuses(fortress, forge(fortress, tmp_path))


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(
            of_an_older_generation,
            marks=attack("certificate of an older generation", answer="refused, or in and unable to do anything"),
        ),
        pytest.param(
            of_a_later_generation,
            marks=attack(
                "certificate of a generation that is not given yet", answer="refused, or in and unable to do anything"
            ),
        ),
        pytest.param(
            without_its_generation,
            marks=attack("certificate without its generation", answer="refused, or in and unable to do anything"),
        ),
        pytest.param(
            nobodys,
            marks=attack(
                "good certificate of a device that is not registered", answer="refused, or in and unable to do anything"
            ),
        ),
    ],
)
def test_who_is_not_permitted_can_do_nothing(
    fortress: Fortress, tmp_path: Path, forge: Callable[[Fortress, Path], Files]
) -> None:
    assert harmful(fortress, {"forged": forge(fortress, tmp_path)}) == []


ODD = [
    "#",
    "+",
    "*",
    ">",
    "car-2 ",
    " car-2",
    "car 2",
    "car-2.readings",
    "car-2/readings",
    "car-2,OU=g1",
    "car-2+OU=g1",
    "CN=car-2",
    "car-2\\,CN=car-1",
    "car-2\ncar-1",
    "car-2\x00car-1",
    "car-2\x00",
    "CAR-2",
    "cär-2",
    "саr-2",
    "车-2",
    "%u",
    "$SYS",
    "../car-1",
    "a" * 64,
]


@attack(
    "common name with odd characters: wildcards, spaces, dots, NUL, Unicode",
    answer="refused, or in and unable to do anything",
)
def test_odd_names_can_do_nothing(fortress: Fortress) -> None:
    cases = {name: fortress.certificate(Subject(common_name=name)) for name in ODD}
    assert harmful(fortress, cases) == []


@attack("the backend's name in a device's certificate", answer="no device is given it: it holds a dot, an id cannot")
def test_no_device_can_be_given_a_services_name(fortress: Fortress) -> None:
    """The name without the dot is a device's like any other, and has no rights of a service."""
    with pytest.raises(ValueError, match="device id"):
        fortress.of("service.ingest")
    names = ("ingest", "doorkeeper", "wearcast-ingest-1")
    assert harmful(fortress, {name: fortress.of(name) for name in names}) == []
