"""Emptying a dongle: which order is obeyed, that a power cut anywhere is made up for, and that replays do nothing."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import TlsConfig
from edge_agent.errors import OutboxError
from edge_agent.forget import enable, forget
from edge_agent.wipe import empty as emptying
from edge_agent.wipe.desk import WipeDesk
from edge_agent.wipe.empty import finish_wipe
from edge_agent.wipe.generation import own_generation
from edge_agent.wipe.judge import judge
from edge_agent.wipe.record import NEVER, WipeRecord, read_record, record_path, write_record
from firmware_profiles.authority import Authority
from telemetry.subject import device_subject
from telemetry.wipe import Wipe, WipeResult
from tests.unit.edge_agent.wipe_support import DEVICE, NOW, fill, wipe, with_the_car

DAY = timedelta(days=1)


class Cut(BaseException):
    """The power is gone."""


def desk(outbox: Path, tls: TlsConfig | None = None) -> WipeDesk:
    return WipeDesk(device=DEVICE, outbox=outbox, tls=tls)


def obeyed(outbox: Path, order: Wipe) -> WipeResult:
    """Take an order as an agent does, to its end."""
    taken = desk(outbox)
    assert taken.take(order, NOW, batches=4) is None
    finish_wipe(outbox)
    answer = taken.answer(read_record(outbox), NOW)
    assert answer is not None
    return answer


def test_all_of_the_car_goes_and_the_answer_says_how_much(tmp_path: Path) -> None:
    outbox = fill(tmp_path)
    assert len(with_the_car(tmp_path)) >= 3
    answer = obeyed(outbox, wipe())
    assert with_the_car(tmp_path) == set()
    assert (answer.id, answer.state, answer.batches) == (wipe().id, "wiped", 4)
    assert answer.files >= 4
    assert {file.name for file in tmp_path.iterdir()} == {"outbox.sqlite.lock", "wiped-outbox.sqlite.json"}


def test_the_same_order_is_answered_again_and_empties_nothing(tmp_path: Path) -> None:
    outbox = fill(tmp_path)
    first = obeyed(outbox, wipe())
    assert enable(outbox, NOW + DAY)
    fill(tmp_path)  # the next owner's
    assert desk(outbox).take(wipe(), NOW + DAY, batches=9) == WipeResult(
        id=first.id, device=DEVICE, state="wiped", time=NOW + DAY, batches=first.batches, files=first.files
    )
    assert len(with_the_car(tmp_path)) >= 3
    assert read_record(outbox).state == "served"


@pytest.mark.parametrize("steps", range(8))
def test_a_power_cut_at_any_step_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    outbox = fill(tmp_path)
    assert desk(outbox).take(wipe(), NOW, batches=0) is None
    unlink, left = Path.unlink, steps

    def fail(self: Path, missing_ok: bool = False) -> None:
        nonlocal left
        if not left:
            raise Cut
        left -= 1
        unlink(self, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", fail)
        try:
            finish_wipe(outbox)
        except Cut:
            assert read_record(outbox).state == "begun"  # so that the next start opens nothing
    finish_wipe(outbox)
    assert read_record(outbox).state == "done"
    assert with_the_car(tmp_path) == set()


def test_the_order_is_on_the_disk_before_anything_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = fill(tmp_path)
    seen: list[str] = []

    def look(path: Path) -> list[Path]:
        seen.append(read_record(path).state)
        return []

    monkeypatch.setattr(emptying, "empty", look)
    assert desk(outbox).take(wipe(), NOW, batches=0) is None
    finish_wipe(outbox)
    assert seen == ["begun"]


def test_a_record_that_is_torn_opens_nothing(tmp_path: Path) -> None:
    outbox = fill(tmp_path)
    record_path(outbox).write_bytes(b'{"state":"be')
    with pytest.raises(OutboxError, match="whether this dongle was emptied"):
        read_record(outbox)
    forget(outbox, NOW)
    assert read_record(outbox).state == "done"
    assert read_record(outbox).generation > 10**9  # what it served is not known: a certificate begins no new service


def test_an_order_of_a_former_service_is_not_obeyed(tmp_path: Path) -> None:
    """The dongle was away when its owner was erased; somebody emptied it by hand and gave it to the next."""
    outbox = fill(tmp_path)
    forget(outbox, NOW + DAY)
    fill(tmp_path)
    refused = desk(outbox).take(wipe(), NOW + 2 * DAY, batches=1)
    assert refused is not None
    assert (refused.state, refused.refusal) == ("refused", "before-this-service")
    assert len(with_the_car(tmp_path)) >= 3
    assert desk(outbox).take(wipe(2, issued=NOW + 2 * DAY), NOW + 2 * DAY, batches=1) is None


@given(
    generation=st.integers(0, 5),
    own=st.none() | st.integers(0, 5),
    age=st.integers(0, 60),
    done=st.booleans(),
    since=st.none() | st.integers(-30, 30),
)
def test_an_order_is_obeyed_once_for_its_service_and_in_time(
    generation: int, own: int | None, age: int, done: bool, since: int | None
) -> None:
    record = WipeRecord(
        state="served",
        known=(UUID(int=1),) if done else (),
        since=None if since is None else NOW + since * DAY,
    )
    verdict = judge(wipe(generation=generation), record, generation=own, now=NOW + age * DAY)
    meant = generation == own and age < 30 and (since is None or since <= 0)
    assert (verdict == "obey") == (meant and not done)
    assert (verdict == "again") == done


@pytest.mark.parametrize("generation", [0, 1, 42])
def test_the_generation_is_read_from_the_certificate(tmp_path: Path, generation: int) -> None:
    authority = Authority.open_or_create(tmp_path / "authority")
    given = authority.issue_device_certificate(DEVICE)
    if generation:
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        from firmware_profiles import certificates

        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        made = authority.certify(
            device_subject(DEVICE, generation), key, NOW + 400 * DAY, usages=[ExtendedKeyUsageOID.CLIENT_AUTH]
        )
        pem = certificates.certificate_pem(made)
    else:
        pem = given.certificate_pem
    pair = tmp_path / "identity.pem"
    pair.write_bytes(b"Renew-At: 1\n" + given.key_pem + pem + (tmp_path / "authority" / "ca.pem").read_bytes())
    assert own_generation(TlsConfig(certificate=pair, key=pair)) == generation
    pair.write_bytes(pem[: len(pem) // 2])
    assert own_generation(TlsConfig(certificate=pair, key=pair)) is None
    assert own_generation(TlsConfig(certificate=tmp_path / "none", key=pair)) is None


def test_without_a_certificate_there_is_one_generation() -> None:
    assert own_generation(None) == own_generation(TlsConfig()) == 0


def test_a_dongle_is_enabled_once_it_is_empty(tmp_path: Path) -> None:
    outbox = fill(tmp_path)
    assert not enable(outbox, NOW)
    assert read_record(outbox) == NEVER
    write_record(outbox, NEVER.begun(wipe(), batches=0))
    with pytest.raises(OutboxError, match="not empty yet"):
        enable(outbox, NOW)
    finish_wipe(outbox)
    forget(outbox, NOW)
    assert read_record(outbox).state == "done"  # quiet still: only a new service ends that
    assert enable(outbox, NOW)
