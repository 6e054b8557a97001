"""Faults into a running site, and an audit of what became of every batch: ``make faults FAULTS=1000 SEED=… SHAPE=…``.

Each shape of the site, one node and a cluster of three, has its faults one after the other. The last lines say what was
found and the seed that repeats the choices. The status is 1 where something is lost, doubled or needs a person.
"""

import argparse
import os
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.benchmarks.bench_row import RESULTS, show, write
from tests.faults.audit import Audit, audit
from tests.faults.brokers import SHAPES, Shape
from tests.faults.director import Director, NotRecoveredError
from tests.faults.fault import progress
from tests.faults.kinds import ALL_KINDS, NEEDS_SMALL_DISK, kinds_of
from tests.faults.patience import PATIENCE
from tests.faults.plan import rounds
from tests.faults.report import SHAPE_NAMES, ShapeResult, table
from tests.faults.site import FaultSite, fault_site, wait_until
from tests.faults.small_disk import own_mounts

_CLUSTER_PART: Final = 4  # of both shapes, the cluster has every fourth fault
_SERVE_SECONDS: Final = 60.0 * PATIENCE  # from the start of the site
_DRAIN_SECONDS: Final = 180.0 * PATIENCE  # from the last fault until every outbox is empty


def main() -> int:
    """Run; the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--faults", type=int, default=1000)
    options.add_argument("--seed", type=int, default=random.randrange(2**32))
    options.add_argument("--shape", choices=(*SHAPES, "both"), default="both", help="both: a quarter on the cluster")
    options.add_argument("--only", nargs="*", default=ALL_KINDS, choices=ALL_KINDS, metavar="KIND")
    options.add_argument("--name", default="faults", help="of the file in build/bench")
    given = options.parse_args()
    for name in [name for name in os.environ if name.startswith("WEARCAST_")]:
        del os.environ[name]  # the processes see the site's settings, not those of whoever runs this
    may_mount = own_mounts()
    _tell(f"{given.faults} faults, seed {given.seed}")
    with ExitStack() as stack:
        note = stack.enter_context(_notes(given.name))
        results = [
            run(shape, faults, given.seed, given.only, may_mount=may_mount, note=note)
            for shape, faults in divided(given.faults, given.shape).items()
            if faults
        ]
    entries = table(results, given.seed)
    write(given.name, entries)
    show(entries)
    return _last_words(results, repeated(given.faults, given.seed, given.shape, given.only))


def repeated(faults: int, seed: int, shape: str, only: Sequence[str]) -> str:
    """What ``make faults`` must be told for the same choices."""
    told = f"FAULTS={faults} SEED={seed} SHAPE={shape}"
    if set(only) == set(ALL_KINDS):
        return told
    return f"{told} ARGS={shlex.quote(shlex.join(['--only', *only]))}"


def divided(faults: int, shape: str) -> dict[Shape, int]:
    """How many faults happen to a site of each shape."""
    if shape != "both":
        return {one: faults for one in SHAPES if one == shape}
    on_cluster = -(-faults // _CLUSTER_PART)
    return {"node": faults - on_cluster, "cluster": on_cluster}


def run(
    shape: Shape, faults: int, seed: int, only: Sequence[str], *, may_mount: bool, note: Callable[[str], None]
) -> ShapeResult:
    """Inject so many faults of these kinds into a site of its own, and audit it."""
    begun = time.monotonic()
    _tell(f"{SHAPE_NAMES[shape]}: {faults} faults")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wearcast-faults-")))
        folder.chmod(0o755)  # the database runs as another user
        site = stack.enter_context(fault_site(folder, may_mount=may_mount, shape=shape, seed=seed))
        kinds = {
            name: kind
            for name, kind in kinds_of(shape).items()
            if name in only and (site.disk or name != NEEDS_SMALL_DISK)
        }
        if site.disk is None:
            _tell(f"left out: {NEEDS_SMALL_DISK}, which takes the right to mount a disk of its own")
        director = Director(site, kinds, tell=_tell, note=note)
        failure: Exception | None = None
        found = Audit()
        try:
            with site.looked_after():
                wait_until(lambda: _serves(site), "everything serves", _SERVE_SECONDS)
                director.run(rounds(seed, kinds), faults, seed)
            found = _settle(site)
        except (NotRecoveredError, TimeoutError) as error:
            failure = error
            _tell(_logs(folder))
        seconds = time.monotonic() - begun
    if failure is not None:
        found.complaints.append(f"a person is needed: {failure}")
    return ShapeResult(shape=shape, injected=director.injected, missed=director.missed, audit=found, seconds=seconds)


def _last_words(results: Sequence[ShapeResult], again: str) -> int:
    well = True
    for result in results:
        found = result.audit
        for complaint in found.complaints[:50]:
            _tell(f"COMPLAINT: {SHAPE_NAMES[result.shape]}: {complaint}")
        _tell(
            f"{SHAPE_NAMES[result.shape]}: {len(result.injected)} faults in {result.seconds:.0f} s:"
            f" {found.accepted_batches} batches accepted, {found.lost} lost, {found.doubled} doubled;"
            f" {found.rules.alerts} alerts and {found.rules.messages} messages,"
            f" {found.rules.lost} lost, {found.rules.doubled} doubled; {len(found.complaints)} complaints"
        )
        well = well and not found.complaints
    _tell(f"{'all is well' if well else 'FAILED'}; the same choices again: make faults {again}")
    return 0 if well else 1


@contextmanager
def _notes(name: str) -> Iterator[Callable[[str], None]]:
    """Lines with their time into build/bench/<name>.log: what happened when, for whoever looks into a run."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{name}.log").open("w", encoding="utf-8", buffering=1) as file:
        yield lambda text: print(datetime.now(UTC).time().isoformat("milliseconds"), text, file=file)


def _serves(site: FaultSite) -> bool:
    return all(progress(site).values())


def _settle(site: FaultSite) -> Audit:
    """Let codes be cleared, messages be delivered and outboxes empty themselves; then compare all accounts."""
    cars = site.rules.cars
    cars.finish()
    wait_until(lambda: cars.finished, "every trouble code is cleared and judged", _SERVE_SECONDS)
    wait_until(lambda: site.undelivered() == 0, "every message is delivered", _SERVE_SECONDS)
    for dongle in site.dongles:
        dongle.finish()
    wait_until(lambda: all(dongle.finished for dongle in site.dongles), "every outbox is emptied", _DRAIN_SECONDS)
    wait_until(lambda: site.unsettled() == 0, "refused messages are kept", _SERVE_SECONDS)
    return audit(site)


def _logs(folder: Path) -> str:
    tails = [
        f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        for log in sorted(folder.glob("*.log"))
    ]
    return "\n".join(tails)


_tell: Callable[[str], None] = lambda text: print(text, flush=True)  # noqa: E731, T201 - this is its output

if __name__ == "__main__":
    sys.exit(main())
