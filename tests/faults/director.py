"""Brings the planned faults about, round after round, and waits each time until everything serves again."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.faults.fault import Fault, MissedError, all_serve, progress
from tests.faults.patience import PATIENCE
from tests.faults.plan import Planned
from tests.faults.site import FaultSite

RECOVERY_SECONDS: Final = 60.0 * PATIENCE  # beyond this somebody would have to come and look
_LOOK_SECONDS: Final = 0.03
_MOST_REST_SECONDS: Final = 0.3  # between two rounds


class NotRecoveredError(Exception):
    """Something needs a person."""


@dataclass(frozen=True, kw_only=True)
class Injected:
    """One fault that happened."""

    kind: str
    together: int  # faults in its round
    recovery_seconds: float  # from the end of the round's last fault until everybody has worked


@dataclass
class _Run:
    planned: Planned
    fault: Fault
    missed: bool = False
    error: BaseException | None = None


class Director:
    """``tell`` gets a line now and then, ``note`` one for each round and its end."""

    def __init__(
        self,
        site: FaultSite,
        kinds: Mapping[str, type[Fault]],
        *,
        tell: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self._site = site
        self._kinds = kinds
        self._tell = tell
        self._note = note
        self.injected: list[Injected] = []
        self.missed = 0

    def run(self, rounds: Iterator[Sequence[Planned]], faults: int, seed: int) -> None:
        """Rounds until so many faults have happened. NotRecoveredError where something does not come back by itself."""
        draw = random.Random(seed)
        begun = time.monotonic()
        while (left := faults - (before := len(self.injected))) > 0:
            self._round(next(rounds)[:left])
            if before // 25 < len(self.injected) // 25:
                self._tell(f"{len(self.injected)} faults injected in {time.monotonic() - begun:.0f} s")
            time.sleep(draw.uniform(0, _MOST_REST_SECONDS))

    def _round(self, planned: Sequence[Planned]) -> None:
        runs = [
            _Run(planned=one, fault=self._kinds[one.kind](self._site, one.target, random.Random(one.seed)))
            for one in planned
        ]
        begun = time.monotonic()
        threads = [threading.Thread(target=_carry_out, args=(run,), name=run.planned.kind) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for run in runs:
            if run.error is not None:
                raise run.error
        self.missed += sum(run.missed for run in runs)
        happened = [run for run in runs if not run.missed]
        what = ", ".join(f"{one.kind} ({one.target}, {one.hold_seconds:.1f} s)" for one in planned)
        self._note(f"{what}{''.join(f'; missed {run.planned.kind}' for run in runs if run.missed)}")
        seconds = self._wait(happened)
        if any(run.fault.repeats_messages for run in runs):
            self._site.troubled.append((begun, time.monotonic()))
        self._note(f"serves again after {seconds:.2f} s")
        self.injected += [
            Injected(kind=run.planned.kind, together=len(happened), recovery_seconds=seconds) for run in happened
        ]

    def _wait(self, runs: Sequence[_Run]) -> float:
        healed = time.monotonic()
        since = progress(self._site)
        while not (all([run.fault.recovered() for run in runs]) and all_serve(self._site, since)):  # noqa: C419 - each is asked: it may act
            if time.monotonic() - healed > RECOVERY_SECONDS:
                now = progress(self._site)
                stuck = [name for name in since if now[name] <= since[name]]
                what = ", ".join(f"{run.planned.kind} ({run.planned.target})" for run in runs)
                raise NotRecoveredError(f"{RECOVERY_SECONDS:g} s after {what}: stuck are {', '.join(stuck) or 'none'}")
            time.sleep(_LOOK_SECONDS)
        return time.monotonic() - healed


def _carry_out(run: _Run) -> None:
    time.sleep(run.planned.at_seconds)
    try:
        run.fault.inject()
        time.sleep(run.planned.hold_seconds)
        run.fault.heal()
    except MissedError:
        run.missed = True
    except BaseException as error:  # noqa: BLE001 - raised again by the director, on its own thread
        run.error = error
