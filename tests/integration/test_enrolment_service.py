"""Enrolment and renewal over real HTTPS with the dongle's own code: who gets a certificate, and who does not."""

import base64
import logging
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from edge_agent.enrolment import openssl
from edge_agent.enrolment.attempt import attempt
from edge_agent.enrolment.identity import Identity
from edge_agent.enrolment.port import Order, Outcome
from firmware_profiles.authority import Authority
from firmware_profiles.certificates import subject_of
from ingest.database import Connection
from ingest.enrolment import access, store
from ingest.enrolment.app import CERTIFICATE_HEADER, PREFIX, PROOF_HEADER
from ingest.enrolment.desk import Terms
from ingest.registry import update_device
from tests.faults.database_clock import make_movable, move
from tests.integration.enrolment_support import Enrolment, running_enrolment, until
from tests.integration.remote_support import DEVICE, OTHER, register_devices

pytestmark = pytest.mark.database

ISSUED = Outcome(state="issued")


@pytest.fixture
def service(database_url: str, connection: Connection, tmp_path: Path) -> Iterator[Enrolment]:
    register_devices(connection)
    with running_enrolment(database_url, connection, tmp_path / "authority") as running:
        yield running


def enrolled(service: Enrolment, folder: Path, device: str = DEVICE) -> Order:
    """A dongle that has its certificate."""
    order = service.order(folder, device, service.token(device))
    assert attempt(order) == ISSUED
    assert Identity(Path(order.folder)).take_over()
    return order


def certificate(order: Order) -> x509.Certificate:
    pem = Identity(Path(order.folder)).pair.read_bytes()
    return x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :])


def refusal(outcome: Outcome) -> str:
    assert outcome.state == "refused"
    return outcome.reason


def test_a_token_ends_by_the_databases_clock(
    connection: Connection, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register_devices(connection)
    make_movable(connection, connection.info.dbname)
    with running_enrolment(database_url, connection, tmp_path / "authority") as service:
        order = service.order(tmp_path / "dongle", DEVICE, service.token(DEVICE, timedelta(hours=1)))
        move(connection, timedelta(hours=2))
        assert "does not accept the token" in refusal(attempt(order))
        assert f"{DEVICE} gets no certificate: the token has expired" in caplog.text
        move(connection, timedelta(minutes=30))
        assert attempt(order) == ISSUED
    (noted,) = store.certificates(connection)
    assert noted.issued_at - datetime.now(UTC) > timedelta(minutes=20)


def test_a_token_becomes_a_certificate_of_a_key_that_stays_here(service: Enrolment, tmp_path: Path) -> None:
    order = enrolled(service, tmp_path / "dongle")
    identity = Identity(Path(order.folder))
    given = certificate(order)
    assert str(subject_of(given.subject)) == f"CN={DEVICE},OU=g1"
    assert {path.stat().st_mode & 0o777 for path in identity.folder.iterdir()} == {0o600}
    context = ssl.create_default_context(cafile=service.ca)
    context.load_cert_chain(identity.pair, identity.pair)
    dates = identity.dates()
    assert dates is not None
    assert dates.ends_at == given.not_valid_after_utc.timestamp()
    lifetime = given.not_valid_after_utc - given.not_valid_before_utc
    renewed_after = datetime.fromtimestamp(dates.renew_at, UTC) - given.not_valid_before_utc
    assert 0.6 * lifetime <= renewed_after <= 0.75 * lifetime
    (noted,) = store.certificates(service.connection)
    assert (noted.serial, noted.generation) == (f"{given.serial_number:x}", 1)


def test_a_token_works_once_and_for_its_device(service: Enrolment, tmp_path: Path) -> None:
    token = service.token(DEVICE)
    thief = service.order(tmp_path / "thief", OTHER, token)
    assert "does not accept the token" in refusal(attempt(thief))
    assert attempt(service.order(tmp_path / "dongle", DEVICE, token)) == ISSUED
    again = service.order(tmp_path / "copy", DEVICE, token)
    assert "does not accept the token" in refusal(attempt(again))
    late = service.order(tmp_path / "late", DEVICE, service.token(DEVICE, timedelta(microseconds=1)))
    assert "does not accept the token" in refusal(attempt(late))


def test_an_answer_that_was_lost_is_given_again(service: Enrolment, tmp_path: Path) -> None:
    """A power cut after the service has answered: the key is kept, and the token good for it."""
    order = service.order(tmp_path / "dongle", DEVICE, service.token(DEVICE))
    identity = Identity(Path(order.folder))
    key = identity.request_key(openssl.new_key).read_bytes()
    assert attempt(order) == ISSUED
    identity.next.unlink()
    (identity.folder / "token.spent").unlink()
    identity.key.write_bytes(key)
    assert attempt(order) == ISSUED
    assert identity.take_over()
    assert str(subject_of(certificate(order).subject)) == f"CN={DEVICE},OU=g1"


def test_a_certificate_is_renewed_with_another_key(service: Enrolment, tmp_path: Path) -> None:
    order = enrolled(service, tmp_path / "dongle")
    first = certificate(order)
    assert attempt(order) == ISSUED
    identity = Identity(Path(order.folder))
    assert identity.take_over()
    second = certificate(order)
    assert second.public_key() != first.public_key()
    assert second.subject == first.subject
    assert store.revoked_serials(service.connection, datetime.now(UTC)) == []


def test_a_parked_car_renews_with_a_certificate_that_has_ended(
    database_url: str, connection: Connection, tmp_path: Path
) -> None:
    register_devices(connection)
    folder = tmp_path / "authority"
    past = Authority.open_or_create(folder, clock=lambda: datetime.now(UTC) - timedelta(days=100))
    given = past.issue_device_certificate(DEVICE, valid_days=30)
    (tmp_path / "device.pem").write_bytes(given.certificate_pem)
    (tmp_path / "device-key.pem").write_bytes(given.key_pem)
    for grace, state in ((60, "refused"), (80, "issued")):
        terms = Terms(grace=timedelta(days=grace))
        with running_enrolment(database_url, connection, folder, terms) as service:
            order = service.order(tmp_path / f"dongle-{grace}", DEVICE)
            Identity(Path(order.folder)).adopt(tmp_path / "device.pem", tmp_path / "device-key.pem")
            assert attempt(order).state == state


def test_what_is_revoked_is_not_renewed_and_a_new_token_lets_it_in_again(service: Enrolment, tmp_path: Path) -> None:
    order = enrolled(service, tmp_path / "dongle")
    bystander = enrolled(service, tmp_path / "other", OTHER)
    serial = certificate(order).serial_number
    store.revoke(service.connection, DEVICE, reason="stolen", now=datetime.now(UTC))
    assert "does not renew this certificate" in refusal(attempt(order))
    assert attempt(bystander) == ISSUED

    def listed() -> bool:
        lists = access.revocation_lists(service.connection)
        signed = x509.load_pem_x509_crl(lists[0].pem.encode()) if lists else None
        return signed is not None and signed.get_revoked_certificate_by_serial_number(serial) is not None

    until(listed, "the list of revoked certificates was not signed")
    again = service.order(tmp_path / "dongle", DEVICE, service.token(DEVICE))
    assert attempt(again) == ISSUED
    assert Identity(Path(again.folder)).take_over()
    assert str(subject_of(certificate(again).subject)) == f"CN={DEVICE},OU=g2"
    assert attempt(again) == ISSUED


def test_a_disabled_device_is_refused(service: Enrolment, tmp_path: Path) -> None:
    order = enrolled(service, tmp_path / "dongle")
    update_device(service.connection, DEVICE, enabled=False)
    assert "does not renew" in refusal(attempt(order))


def test_the_certificate_alone_is_no_proof(service: Enrolment, tmp_path: Path) -> None:
    """A certificate is public, and so is a request: whoever has both still lacks the key."""
    order = enrolled(service, tmp_path / "dongle")
    stolen = certificate(order)
    other = enrolled(service, tmp_path / "other", OTHER)
    thief = tmp_path / "thief.pem"
    thief.write_bytes(openssl.new_key())
    request = openssl.request(thief, DEVICE)
    foreign = Authority.open_or_create(tmp_path / "foreign").issue_device_certificate(DEVICE)
    context = ssl.create_default_context(cafile=service.ca)
    with httpx.Client(base_url=service.url + PREFIX, verify=context, timeout=60) as client:

        def renewal(shown: bytes, key: Path, body: bytes = request) -> httpx.Response:
            proof = openssl.sign(key, body)
            headers = {
                CERTIFICATE_HEADER: base64.b64encode(shown).decode(),
                PROOF_HEADER: base64.b64encode(proof).decode(),
            }
            return client.post("/simplereenroll", content=base64.b64encode(body), headers=headers)

        own = Identity(Path(other.folder)).pair
        der = ssl.PEM_cert_to_DER_cert
        assert renewal(stolen.public_bytes(Encoding.DER), thief).status_code == 400
        assert "not signed by the key" in renewal(stolen.public_bytes(Encoding.DER), thief).text
        assert "not of this authority" in renewal(der(foreign.certificate_pem.decode()), thief).text
        assert "not the device's id" in renewal(certificate(other).public_bytes(Encoding.DER), own).text
        assert client.post("/simplereenroll", content=b"x").status_code == 400
        authority = client.get("/cacerts")
        (trusted,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(authority.content))
        assert trusted == x509.load_pem_x509_certificate(service.ca.read_bytes())


def test_a_renewal_that_was_recorded_gives_who_sends_it_again_no_key(service: Enrolment, tmp_path: Path) -> None:
    order = enrolled(service, tmp_path / "car")
    pair = Identity(Path(order.folder)).pair
    waiting = tmp_path / "waiting.key"
    waiting.write_bytes(openssl.new_key())
    request = openssl.request(waiting, DEVICE)
    recorded = {
        CERTIFICATE_HEADER: base64.b64encode(certificate(order).public_bytes(Encoding.DER)).decode(),
        PROOF_HEADER: base64.b64encode(openssl.sign(pair, request)).decode(),
    }
    context = ssl.create_default_context(cafile=service.ca)
    with httpx.Client(base_url=service.url + PREFIX, verify=context, timeout=60) as client:
        answers = [
            client.post("/simplereenroll", content=base64.b64encode(request), headers=recorded) for _ in range(2)
        ]
        other = openssl.request(pair, DEVICE)
        assert client.post("/simplereenroll", content=base64.b64encode(other), headers=recorded).status_code == 400
    asked = x509.load_der_x509_csr(request).public_key()
    for answer in answers:
        given = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))
        assert given[0].public_key() == asked
    store.revoke(service.connection, DEVICE, reason="stolen", now=datetime.now(UTC))
    service.connection.commit()
    with httpx.Client(base_url=service.url + PREFIX, verify=context, timeout=60) as client:
        answer = client.post("/simplereenroll", content=base64.b64encode(request), headers=recorded)
    assert answer.status_code == 403


def test_what_is_no_request_is_refused_and_guessing_is_slowed(service: Enrolment) -> None:
    context = ssl.create_default_context(cafile=service.ca)
    with httpx.Client(base_url=service.url + PREFIX, verify=context, auth=(DEVICE, "guess"), timeout=60) as client:
        assert client.post("/simpleenroll", content=b"A" * 20_000).status_code == 413
        assert client.post("/simpleenroll", content=b"AAAA").status_code == 400
        assert client.post("/simpleenroll", content=b"AAAA", auth=("no device", "x")).status_code == 401
        for nonsense in (b"Basic \xb5", b"Basic", b"Bearer eA==", b"Basic eA=="):
            answer = client.post("/simpleenroll", content=b"AAAA", headers={b"Authorization": nonsense})
            assert answer.status_code in {400, 401}
        statuses = [
            client.post("/simpleenroll", content=b"AAAA", headers={"X-Forwarded-For": f"10.0.0.{number}"}).status_code
            for number in range(30)
        ]
        assert statuses[-1] == 429


def test_the_service_is_known_by_the_flashed_authority_alone(service: Enrolment, tmp_path: Path) -> None:
    order = service.order(tmp_path / "dongle", DEVICE, service.token(DEVICE))
    Authority.open_or_create(tmp_path / "foreign")
    outcome = attempt(replace(order, ca=str(tmp_path / "foreign" / "ca.pem")))
    assert outcome.state == "failed"
    assert "not of the flashed authority" in outcome.reason
    assert attempt(replace(order, url="https://127.0.0.1:9")).state == "failed"


def test_no_secret_is_logged(service: Enrolment, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        token = service.token(DEVICE)
        order = service.order(tmp_path / "dongle", DEVICE, token)
        assert attempt(order) == ISSUED
        wrong = attempt(service.order(tmp_path / "other", OTHER, token))
    identity = Identity(Path(order.folder))
    assert identity.take_over()
    key = identity.pair.read_text("ascii").split("\n")[3]
    said = caplog.text + wrong.reason
    assert f"{DEVICE} is enrolled" in said
    assert token not in said
    assert base64.b64encode(f"{DEVICE}:{token}".encode()).decode() not in said
    assert len(key) == 64
    assert key not in said


def test_a_dongle_changes_over_to_the_next_authority_as_it_renews(
    database_url: str, connection: Connection, tmp_path: Path
) -> None:
    register_devices(connection)
    root = Authority.open_or_create(tmp_path / "root")
    root.issue_authority(tmp_path / "first")
    root.issue_authority(tmp_path / "next", follows=tmp_path / "first")
    with running_enrolment(database_url, connection, tmp_path / "first") as service:
        order = enrolled(service, tmp_path / "car")
    with running_enrolment(database_url, connection, tmp_path / "next") as service:
        assert attempt(replace(order, url=service.url)) == ISSUED  # with the bundle's ca.pem, of the first
        assert Identity(Path(order.folder)).take_over()
    certificate(order).verify_directly_issued_by(Authority.open(tmp_path / "next").certificate)
