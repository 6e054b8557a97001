"""When the agent asks for a certificate, shows it, and goes back: with a twin of the attempt, and time that is set."""

import errno
import logging
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from edge_agent.config import EnrolmentConfig, TlsConfig
from edge_agent.enrolment.build import order_of
from edge_agent.enrolment.identity import Dates, Identity
from edge_agent.enrolment.keeper import PROVE_SECONDS, ChildAttempt, IdentityKeeper
from edge_agent.enrolment.port import Order, Outcome
from edge_agent.testing import FakeClock

LIFE = 30 * 86_400.0
ISSUED = Outcome(state="issued")
FAILED = Outcome(state="failed", reason="the enrolment service is away")
REFUSED = Outcome(state="refused", reason="the enrolment service refuses")


@dataclass
class Twin:
    """An attempt that ends as it was told to."""

    told: Outcome | None
    closed: bool = False

    def outcome(self) -> Outcome | None:
        return self.told

    def close(self) -> None:
        self.closed = True


class Bench:
    """A keeper, and the attempts it began."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.config = EnrolmentConfig(
            url="https://enrol.example:8443", folder=folder / "identity", token_file=folder / "token"
        )
        self.identity = Identity(self.config.folder)
        self.told: Outcome | None = None  # what attempts come to
        self.attempts: list[Twin] = []
        self.keeper = self.start()

    def start(self, flashed: TlsConfig | None = None) -> IdentityKeeper:
        """The agent starts."""
        self.keeper = IdentityKeeper(
            order=order_of("car-7", self.config),
            config=self.config,
            flashed=flashed,
            clock=self.clock,
            begin=self._begin,
            monotonic=lambda: self.clock.milliseconds / 1000,
            jitter=lambda: 0.5,
        )
        return self.keeper

    def _begin(self, order: Order) -> Twin:
        assert order.device == "car-7"
        if self.told == ISSUED:
            self._issue()
        self.attempts.append(Twin(self.told))
        return self.attempts[-1]

    def _issue(self) -> None:
        number = len(self.attempts)
        self.identity.request_key(lambda: b"KEY %d\n" % number)
        now = self.clock.now().timestamp()
        self.identity.keep_next(b"CERTIFICATE\n", Dates(renew_at=now + LIFE * 2 / 3, ends_at=now + LIFE))
        self.identity.requested()

    def wait(self, seconds: float, *, connected: bool, step: float = 1.0) -> int:
        """Look after it for so long; how often another pair was to be shown."""
        shown = 0
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            shown += self.keeper.tick(connected=connected)
        return shown

    def enrol(self) -> None:
        """Until the first pair is there."""
        self.told = ISSUED
        assert self.wait(3, connected=False) == 1
        assert self.keeper.present
        self.attempts.clear()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_at_first_it_asks_at_once_and_then_at_two_thirds_of_a_life(bench: Bench) -> None:
    assert not bench.keeper.present
    bench.enrol()
    assert bench.wait(LIFE * 0.66, connected=True, step=3600) == 0
    assert bench.attempts == []
    assert bench.wait(LIFE * 0.01, connected=True, step=3600) == 1
    assert len(bench.attempts) == 1


def test_a_clock_that_is_not_right_yet_renews_nothing(bench: Bench) -> None:
    bench.enrol()
    bench.clock.advance(LIFE)
    bench.clock.unsure = True
    bench.wait(100, connected=True)
    assert bench.attempts == []
    bench.clock.unsure = False
    bench.wait(3, connected=True)
    assert len(bench.attempts) == 1


def test_failing_is_told_once_and_tried_for_ever_with_growing_pauses(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.told = FAILED
    with caplog.at_level(logging.WARNING, "edge_agent"):
        bench.wait(600, connected=False)
        first = len(bench.attempts)
        bench.wait(86_400, connected=False, step=5)
    assert 3 <= first <= 5
    assert 20 <= len(bench.attempts) - first <= 30
    assert bench.keeper.trouble == FAILED.reason
    assert [record.getMessage() for record in caplog.records] == [f"no certificate: {FAILED.reason}"]
    bench.told = ISSUED
    assert bench.wait(7200, connected=False) == 1
    assert bench.keeper.trouble == ""


def test_a_refusal_is_not_knocked_at(bench: Bench) -> None:
    bench.told = REFUSED
    bench.wait(86_400, connected=False, step=10)
    assert 4 <= len(bench.attempts) <= 5


def test_the_renewed_pair_is_kept_once_it_connects(bench: Bench) -> None:
    bench.enrol()
    bench.wait(LIFE * 0.7, connected=True, step=3600)
    assert bench.identity.proven
    assert b"KEY 0" in bench.identity.pair.read_bytes()
    assert len(bench.attempts) == 1


def test_a_renewed_pair_that_does_not_connect_gives_the_former_one_its_turn(bench: Bench) -> None:
    bench.enrol()
    former = bench.identity.pair.read_bytes()
    bench.clock.advance(LIFE * 0.7)
    assert bench.wait(2, connected=True) == 1
    assert bench.identity.former.exists()
    renewed = bench.identity.pair.read_bytes()
    assert renewed != former
    assert bench.wait(PROVE_SECONDS + 2, connected=False) == 1
    assert bench.identity.pair.read_bytes() == former
    assert bench.wait(PROVE_SECONDS + 2, connected=False) == 1
    assert bench.identity.pair.read_bytes() == renewed
    bench.wait(2, connected=True)
    assert bench.identity.proven
    assert bench.identity.pair.read_bytes() == renewed


def test_time_in_which_nobody_tried_is_no_sign_against_a_pair(bench: Bench) -> None:
    """A parked car sends nothing for hours, and its agent looks after nothing meanwhile."""
    bench.enrol()
    bench.clock.advance(LIFE * 0.7)
    assert bench.wait(2, connected=True) == 1
    assert bench.identity.former.exists()
    assert bench.wait(10 * 3600, connected=False, step=3600) == 0


def test_a_start_takes_over_what_lies_there(bench: Bench) -> None:
    bench.enrol()
    bench._issue()
    keeper = bench.start()
    assert b"KEY 0" in bench.identity.pair.read_bytes()
    assert not bench.identity.proven
    keeper.tick(connected=True)
    assert bench.identity.proven


def test_a_flashed_certificate_is_shown_at_once_and_exchanged(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "device.pem").write_bytes(b"FLASHED CERTIFICATE\n")
    (tmp_path / "device-key.pem").write_bytes(b"FLASHED KEY\n")
    bench.start(TlsConfig(certificate=tmp_path / "device.pem", key=tmp_path / "device-key.pem"))
    assert bench.keeper.present
    assert bench.identity.pair.read_bytes() == b"FLASHED KEY\n\nFLASHED CERTIFICATE\n"
    bench.told = ISSUED
    assert bench.wait(3, connected=True) == 1
    assert b"FLASHED" not in bench.identity.pair.read_bytes()


def test_a_token_put_there_later_enrols_anew(bench: Bench, tmp_path: Path) -> None:
    bench.enrol()
    bench.wait(300, connected=True)
    assert bench.attempts == []
    (tmp_path / "token").write_text("another\n")
    bench.wait(90, connected=True)
    assert len(bench.attempts) == 1
    bench.identity.spend("another")
    bench.wait(600, connected=True)
    assert len(bench.attempts) == 1


def test_an_attempt_under_way_is_broken_off_at_the_end(bench: Bench) -> None:
    bench.wait(1, connected=False)
    (attempt,) = bench.attempts
    bench.keeper.close()
    assert attempt.closed


def test_neither_a_full_memory_nor_a_full_disk_ends_the_agent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.told = ISSUED
    for target, method, begun in ((bench.keeper, "_begin", False), (Identity, "take_over", True)):
        with monkeypatch.context() as patched:
            patched.setattr(target, method, full)
            assert bench.wait(3600, connected=False, step=10) == 0
        assert "No space left" in bench.keeper.trouble
        assert bool(bench.attempts) == begun
    assert bench.wait(3600, connected=False, step=10) > 0
    assert bench.keeper.present


def test_an_attempt_that_ends_before_it_is_told_anything_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(subprocess.Popen[bytes]):
        def __init__(self, _: object, *, stdin: int, stdout: int) -> None:
            super().__init__(["false"], stdin=stdin, stdout=stdout)
            self.wait()

    monkeypatch.setattr(subprocess, "Popen", Ended)
    ended = ChildAttempt(Order(device="car-7", url="", ca=None, folder="", token_file=None)).outcome()
    assert ended == Outcome(state="failed", reason="the attempt ended with status 1")


def full(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
