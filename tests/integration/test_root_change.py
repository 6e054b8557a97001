"""A new root takes the old one's place: dongles learn it as they renew, from who they trust already alone."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from edge_agent.broker_tls import BrokerTls
from edge_agent.config import AgentConfig, EnrolmentConfig, MqttConfig, SourceConfig, TlsConfig
from edge_agent.enrolment import openssl, service
from edge_agent.enrolment.anchors import trusted_files
from edge_agent.enrolment.attempt import attempt
from edge_agent.enrolment.build import shown_by
from edge_agent.enrolment.identity import Identity
from edge_agent.enrolment.port import Order, Outcome
from edge_agent.errors import EnrolmentError
from firmware_profiles import certificates
from firmware_profiles.authority import Authority
from firmware_profiles.errors import AuthorityError
from firmware_profiles.roots import read_root, write_roots
from ingest.database import connect
from tests.conftest import _database
from tests.integration.enrolment_support import Enrolment, running_enrolment
from tests.integration.remote_support import DEVICE, register_devices
from wearcast.cli import app
from wearcast.embedded.timescaledb import Database

pytestmark = pytest.mark.database

ISSUED = Outcome(state="issued")


def command(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, ["enrolment", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


@dataclass(frozen=True, kw_only=True)
class Place:
    """Two roots, below the first one an authority that issues, its service, and a dongle enrolled there."""

    folder: Path
    url: str  # of its database
    service: Enrolment
    enrolled: Order


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, timescaledb: Database, migrated_template: str) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("authorities")
    command("authority", "--out", folder / "root")
    command("authority", "--root", folder / "root", "--out", folder / "issuing")
    command("authority", "--out", folder / "root-next")
    with (
        contextmanager(_database)(timescaledb, migrated_template) as url,
        closing(connect(url, autocommit=True)) as connection,
        running_enrolment(url, connection, folder / "issuing") as service,
    ):
        register_devices(connection)
        flashed = service.order(folder / DEVICE, DEVICE, service.token(DEVICE))
        assert renew(flashed) == ISSUED
        yield Place(folder=folder, url=url, service=service, enrolled=flashed)


@pytest.fixture
def folder(place: Place) -> Iterator[Path]:
    """Of the authorities, which know of no other root at first."""
    yield place.folder
    write_roots(place.folder / "issuing", [], [])


@pytest.fixture
def order(place: Place, folder: Path, tmp_path: Path) -> Order:
    return dongle(place, tmp_path / "dongle")


def dongle(place: Place, own: Path) -> Order:
    """One with a certificate; what was flashed onto it is a copy that nobody writes again."""
    shutil.copytree(place.folder / DEVICE, own)
    flashed = own / "ca.pem"
    flashed.write_bytes((place.folder / "issuing" / "ca.pem").read_bytes())
    return replace(place.enrolled, ca=str(flashed), folder=str(own / "identity"), token_file=None)


def trust_next(folder: Path, name: str = "root-next") -> str:
    return command("trust", folder / name / "ca.pem", "--ca", folder / "issuing", "--root", folder / "root")


def renew(order: Order) -> Outcome:
    outcome = attempt(order)
    Identity(Path(order.folder)).take_over()
    return outcome


def learned(order: Order) -> list[bytes]:
    anchors = Identity(Path(order.folder)).anchors
    return openssl.split(anchors.read_bytes()) if anchors.exists() else []


def root_of(folder: Path) -> bytes:
    return certificates.certificate_pem(read_root(folder / "ca.pem"))


@contextmanager
def switched(place: Place, own: Path) -> Iterator[Enrolment]:
    """The service under the new root."""
    root, issuing = place.folder / "root-next", place.folder / "issuing"
    command("authority", "--root", root, "--follows", issuing, "--out", own / "next")
    with running_enrolment(place.url, place.service.connection, own / "next") as running:
        yield running


def test_a_root_is_changed_in_steps_and_no_dongle_is_touched(
    place: Place, folder: Path, order: Order, tmp_path: Path
) -> None:
    late = dongle(place, tmp_path / "late")
    assert learned(order) == []
    with pytest.raises(AuthorityError, match="enrolment trust"):
        Authority.open(folder / "root-next").issue_authority(tmp_path / "early", follows=folder / "issuing")

    assert "devices learn it" in trust_next(folder)
    assert renew(order) == ISSUED  # the service runs on: it has read the root by itself
    assert learned(order) == [root_of(folder / "root-next")]
    written = Identity(Path(order.folder)).anchors.stat().st_mtime_ns
    assert renew(order) == ISSUED
    assert Identity(Path(order.folder)).anchors.stat().st_mtime_ns == written  # nothing new, nothing written

    with switched(place, tmp_path) as service_of_now:
        assert renew(replace(order, url=service_of_now.url)) == ISSUED
        issuing = Authority.open(tmp_path / "next").certificate
        shown = Identity(Path(order.folder)).pair.read_bytes()
        assert certificates.certificate_pem(issuing) in shown
        assert learned(order) == [root_of(folder / "root-next")]
        ignorant = attempt(replace(late, url=service_of_now.url))
        assert ignorant.state == "failed"
        assert "not of the flashed authority" in ignorant.reason
        command("trust", "--ca", tmp_path / "next", "--out", tmp_path / "brokers.pem")
        for authority in ("root", "root-next"):
            assert root_of(folder / authority) in (tmp_path / "brokers.pem").read_bytes()
    # The former service still runs for who is late, and tells them of the new root.
    assert renew(late) == ISSUED
    assert learned(late) == [root_of(folder / "root-next")]


def test_the_broker_is_known_by_the_new_root_too(folder: Path, order: Order) -> None:
    assert order.ca is not None
    flashed = Path(order.ca)
    config = AgentConfig(
        device=DEVICE,
        source=SourceConfig(kind="replay_csv"),
        outbox_path=folder / "outbox.sqlite",
        mqtt=MqttConfig(tls=TlsConfig(ca=flashed)),
        enrolment=EnrolmentConfig(url=order.url, folder=Path(order.folder), ca=flashed),
    )
    shown = shown_by(config).tls
    assert shown is not None
    tls = BrokerTls(shown)
    before = len(tls.context.get_ca_certs())
    trust_next(folder)
    assert renew(order) == ISSUED
    tls.renew()  # between two connections
    assert len(tls.context.get_ca_certs()) == before + 1
    other = replace(config, mqtt=MqttConfig(tls=TlsConfig(ca=folder / "root" / "ca.pem")))
    apart = shown_by(other).tls
    assert apart is not None
    assert apart.more_ca is None  # a broker of another authority is not known by what ours names


def test_nobody_but_who_is_trusted_teaches_a_root(place: Place, order: Order, tmp_path: Path) -> None:
    with running_enrolment(place.url, place.service.connection, tmp_path / "stranger") as stranger:
        assert renew(replace(order, url=stranger.url)).state == "failed"
        assert learned(order) == []
        with pytest.raises(EnrolmentError, match="not of the flashed authority"):
            service.cacerts(stranger.url, trusted_files(place.service.ca, Identity(Path(order.folder))))
    assert trusted_files(None, Identity(Path(order.folder))) == ()  # by the system's authorities nothing is learned


def test_what_is_no_root_or_no_root_signed_for_is_not_trusted(folder: Path, order: Order, tmp_path: Path) -> None:
    """Also where somebody rules the service's machine, with the issuing authority's key."""
    issuing = Authority.open(folder / "issuing")
    command("authority", "--root", folder / "root-next", "--out", tmp_path / "below")
    below = Authority.open(tmp_path / "below").certificate
    rogue = Authority.open(folder / "root-next").certificate
    rogue_key = rogue.public_key()
    assert isinstance(rogue_key, ec.EllipticCurvePublicKey)
    named = certificates.subject_of(rogue.subject)
    by_issuing = issuing.certify(named, rogue_key, issuing.ends, path_length=1)
    other_key = issuing.key.public_key()
    by_root = Authority.open(folder / "root").certify(named, other_key, issuing.ends, path_length=1)
    write_roots(folder / "issuing", [below, rogue], [by_issuing, by_root])
    assert renew(order) == ISSUED
    assert learned(order) == []
    write_roots(folder / "issuing", [], [])
    for root, by, why in ((below, "root", "no root"), (rogue, "issuing", "--root"), (rogue, "root-next", "--root")):
        with pytest.raises(AuthorityError, match=why):
            issuing.trust(root, by=Authority.open(folder / by))


def test_what_was_learned_stays_until_it_ends(folder: Path, order: Order, tmp_path: Path) -> None:
    trust_next(folder)
    assert renew(order) == ISSUED
    kept = learned(order)
    write_roots(folder / "issuing", [], [])
    assert renew(order) == ISSUED
    assert learned(order) == kept
    eleven_years_ago = datetime.now(UTC) - timedelta(days=11 * 365)
    over = Authority.open_or_create(tmp_path / "over", clock=lambda: eleven_years_ago).certificate_pem
    identity = Identity(Path(order.folder))
    identity.keep_anchors(kept[0] + over)
    assert renew(order) == ISSUED
    assert learned(order) == kept
    assert openssl.has_ended(over)
    assert not openssl.has_ended(kept[0])
