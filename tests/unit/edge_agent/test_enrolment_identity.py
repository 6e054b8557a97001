"""The files of an identity: a power cut at any step leaves one whole pair; and no secret is ever an argument."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.enrolment import openssl
from edge_agent.enrolment.identity import Dates, Identity
from edge_agent.errors import EnrolmentError

DATES = Dates(renew_at=1000, ends_at=1500)
OLD, NEW = b"OLD KEY\nOLD CERTIFICATE\n", b"NEW KEY\nNEW CERTIFICATE\n"


class PowerCutError(Exception):
    """The machine is off."""


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return Identity(tmp_path / "identity")


def with_pair(identity: Identity) -> Identity:
    identity.folder.mkdir(mode=0o700)
    identity.pair.write_bytes(OLD)
    return identity


def renew(identity: Identity) -> None:
    """From the answer of the service to the proof of the new pair."""
    identity.request_key(lambda: b"NEW KEY\n")
    identity.keep_next(b"NEW CERTIFICATE\n", DATES)
    identity.requested()
    identity.take_over()
    identity.prove()


def cut_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The power goes at the step of this number: files are made, exchanged and removed by these three."""
    done = 0

    def counted(really: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **options: object) -> object:
            nonlocal done
            if done == steps:
                raise PowerCutError
            done += 1
            return really(*arguments, **options)

        return step

    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    return lambda: done


def test_a_power_cut_at_any_step_leaves_a_whole_pair_and_a_restart_goes_on(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = b"Renew-At: 1000\nEnds-At: 1500\n"
    for steps in range(100):
        folder = Identity(identity.folder.with_name(f"cut-{steps}"))
        with_pair(folder)
        with monkeypatch.context() as patch:
            done = cut_after(steps, patch)
            try:
                renew(folder)
            except PowerCutError:
                finished = False
            else:
                finished = True
        assert folder.pair.read_bytes() in {OLD, head + NEW}
        again = Identity(folder.folder)
        again.take_over()
        assert again.pair.read_bytes() in {OLD, head + NEW}
        renew(again)
        assert again.pair.read_bytes() == head + NEW
        assert again.proven
        if finished:
            assert done() > 10
            return
    pytest.fail("it never came to an end")


def test_either_of_two_pairs_may_be_the_one_that_works(identity: Identity) -> None:
    with_pair(identity)
    identity.request_key(lambda: b"NEW KEY\n")
    identity.keep_next(b"NEW CERTIFICATE\n", DATES)
    assert identity.take_over()
    assert not identity.proven
    assert identity.dates() == DATES
    identity.swap()
    assert identity.pair.read_bytes() == OLD
    assert identity.dates() is None
    identity.swap()
    assert identity.dates() == DATES
    identity.prove()
    assert identity.proven


def test_a_key_is_kept_until_it_is_certified_and_nobody_else_reads_it(identity: Identity) -> None:
    first = identity.request_key(lambda: b"ONE\n").read_bytes()
    assert identity.request_key(lambda: b"TWO\n").read_bytes() == first
    assert identity.key.stat().st_mode & 0o777 == 0o600
    assert identity.folder.stat().st_mode & 0o777 == 0o700
    identity.requested()
    assert identity.request_key(lambda: b"TWO\n").read_bytes() == b"TWO\n"


def test_a_token_is_remembered_by_its_digest(identity: Identity) -> None:
    assert not identity.has_spent("token")
    identity.spend("token")
    assert identity.has_spent("token")
    assert not identity.has_spent("another")
    assert b"token" not in (identity.folder / "token.spent").read_bytes()


def test_no_key_is_an_argument_of_openssl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really, seen = subprocess.run, []

    def run(arguments: list[str], **options: object) -> object:
        seen.append((arguments, options["env"]))
        return really(arguments, **options)  # type: ignore[call-overload]  # passed on as they came

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("WEARCAST_MQTT_PASSWORD", "secret")
    file = tmp_path / "key.pem"
    file.write_bytes(openssl.new_key())
    openssl.sign(file, openssl.request(file, "car-7"))
    assert len(seen) == 3
    secret = file.read_text("ascii").split("\n")[1]
    assert secret not in str(seen)
    assert "WEARCAST_MQTT_PASSWORD" not in str(seen)


def test_what_openssl_cannot_do_is_said(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(EnrolmentError, match="openssl req failed"):
        openssl.request(tmp_path / "key.pem", "car-7")
    with pytest.raises(EnrolmentError, match="openssl pkcs7 failed"):
        openssl.certificates(b"nonsense")
