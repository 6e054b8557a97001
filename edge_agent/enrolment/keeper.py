"""Keeps the dongle's certificate valid: when to ask for one, when to show it, and when to go back to the former one.

All on the agent's thread, a look at a time; what takes long (keys, network) is a child process. A failing renewal is
told in the log and in the service's status, and tried for ever: the car is read all the same.
"""

import json
import logging
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Final

from edge_agent.clock import Clock
from edge_agent.config import EnrolmentConfig, TlsConfig
from edge_agent.enrolment.identity import Identity
from edge_agent.enrolment.port import Attempt, Order, Outcome

log = logging.getLogger(__name__)

PROVE_SECONDS: Final = 180.0  # of trying to connect with one pair, after which the other one gets its turn
_LONGEST_STEP_SECONDS: Final = 5.0  # what passes between two looks beyond this, the dongle was not trying
_TOKEN_EVERY_SECONDS: Final = 60.0
_LONGEST_ATTEMPT_SECONDS: Final = 180.0


class IdentityKeeper:
    """Looks after the identity in the configured folder."""

    def __init__(
        self,
        *,
        order: Order,
        config: EnrolmentConfig,
        flashed: TlsConfig | None,
        clock: Clock,
        begin: Callable[[Order], Attempt] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``flashed``: a pair of the bundle, with which to begin where there is none yet."""
        self._config = config
        self._clock = clock
        self._begin: Callable[[Order], Attempt] = ChildAttempt if begin is None else begin
        self._monotonic = monotonic
        self._jitter = jitter
        self._identity = Identity(config.folder)
        self._order = order
        self._attempt: Attempt | None = None
        self._not_before = float("-inf")  # monotonic seconds
        self._pause = config.retry_min_seconds
        self._tried_seconds = 0.0
        self._looked_at = monotonic()
        self._token_looked_at = float("-inf")
        self.trouble = ""
        if not self._identity.take_over() and not self._identity.present and flashed and flashed.certificate:
            assert flashed.key is not None
            self._identity.adopt(flashed.certificate, flashed.key)
        self._dates = self._identity.dates()

    @property
    def present(self) -> bool:
        """Whether there is a pair to show."""
        return self._identity.present

    def tick(self, *, connected: bool) -> bool:
        """See :meth:`Keeping.tick`. A full disk or memory is told and waited for: the car is read all the same."""
        try:
            return self._tick(connected=connected)
        except OSError as error:
            self._settle(
                trouble=f"{error.filename or self._config.folder}: {error.strerror or error}", pause=self._pause
            )
            self._pause = min(2 * self._pause, self._config.retry_max_seconds)
            return False

    def _tick(self, *, connected: bool) -> bool:
        now = self._monotonic()
        self._tried_seconds += min(now - self._looked_at, _LONGEST_STEP_SECONDS)
        self._looked_at = now
        if not self._identity.proven:
            if connected:
                self._identity.prove()
                log.info("connected with this certificate; the other one is given up")
            elif self._tried_seconds > PROVE_SECONDS:
                return self._swap()
            return False
        if self._attempt is not None:
            return self._look()
        if self._due():
            self._attempt = self._begin(self._order)
        return False

    def close(self) -> None:
        """See :meth:`Keeping.close`."""
        if self._attempt is not None:
            self._attempt.close()
            self._attempt = None

    def _due(self) -> bool:
        if self._monotonic() < self._not_before:
            return False
        if not self._identity.present or self._dates is None or self._token_waits():
            return True
        return not self._clock.unsure and self._clock.now().timestamp() >= self._dates.renew_at

    def _token_waits(self) -> bool:
        """Whether somebody put a token there that was not used: the device is to be enrolled anew."""
        file = self._config.token_file
        if file is None or self._monotonic() < self._token_looked_at:
            return False
        self._token_looked_at = self._monotonic() + _TOKEN_EVERY_SECONDS
        try:
            token = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return False
        return bool(token) and not self._identity.has_spent(token)

    def _look(self) -> bool:
        assert self._attempt is not None
        outcome = self._attempt.outcome()
        if outcome is None:
            return False
        self._attempt = None
        if outcome.state == "issued" and self._identity.take_over():
            log.info("a certificate was issued; connecting with it")
            self._settle(trouble="", pause=self._config.retry_min_seconds)
            return self._show()
        self._settle(
            trouble=outcome.reason or "no certificate came of the attempt",
            pause=self._config.refused_seconds if outcome.state == "refused" else self._pause,
        )
        self._pause = min(2 * self._pause, self._config.retry_max_seconds)
        return False

    def _settle(self, *, trouble: str, pause: float) -> None:
        """Tell a trouble once, and wait with jitter: a service that comes back must not meet a whole fleet at once."""
        if trouble and trouble != self.trouble:
            log.warning("no certificate: %s", trouble)
        self.trouble = trouble
        if not trouble:
            self._pause = self._config.retry_min_seconds
        self._not_before = self._monotonic() + pause * (0.5 + self._jitter())

    def _swap(self) -> bool:
        log.warning("no connection for %.0f s with this certificate; trying the other one", PROVE_SECONDS)
        self._identity.swap()
        self._settle(trouble="the renewed certificate did not connect", pause=self._config.retry_max_seconds)
        return self._show()

    def _show(self) -> bool:
        self._dates = self._identity.dates()
        self._tried_seconds = 0.0
        return True


class ChildAttempt:
    """An attempt in a process of its own; see :mod:`edge_agent.enrolment.__main__`."""

    def __init__(self, order: Order) -> None:
        self._until = time.monotonic() + _LONGEST_ATTEMPT_SECONDS
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge_agent.enrolment"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None
        # One that ended at once (no memory left) takes nothing, and its status says so.
        with suppress(BrokenPipeError), self._process.stdin as given:
            given.write(json.dumps(asdict(order)).encode())

    def outcome(self) -> Outcome | None:
        """What it printed; None while it runs."""
        if self._process.poll() is None:
            if time.monotonic() < self._until:
                return None
            self.close()
            return Outcome(state="failed", reason=f"the attempt took longer than {_LONGEST_ATTEMPT_SECONDS:.0f} s")
        assert self._process.stdout is not None
        with self._process.stdout as printed:
            text = printed.read()
        if self._process.returncode != 0:
            return Outcome(state="failed", reason=f"the attempt ended with status {self._process.returncode}")
        return Outcome(**json.loads(text))

    def close(self) -> None:
        """Kill it: whatever it was doing can be done again."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
