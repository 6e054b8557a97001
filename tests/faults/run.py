"""Faults into a running site, and an audit of what became of every batch: ``make faults FAULTS=1000 SEED=…``.

Its last lines say what was found and the seed that repeats the choices. The status is 1 where something is lost,
doubled or needs a person.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.benchmarks.bench_row import RESULTS, show, write
from tests.faults.audit import Audit, audit
from tests.faults.director import Director, NotRecoveredError
from tests.faults.kinds import KINDS, NEEDS_SMALL_DISK
from tests.faults.plan import rounds
from tests.faults.report import table
from tests.faults.site import FaultSite, fault_site, wait_until
from tests.faults.small_disk import own_mounts

_SERVE_SECONDS: Final = 60.0  # from the start of the site
_DRAIN_SECONDS: Final = 180.0  # from the last fault until every outbox is empty


def main() -> int:
    """Run; the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--faults", type=int, default=1000)
    options.add_argument("--seed", type=int, default=random.randrange(2**32))
    options.add_argument("--only", nargs="*", default=sorted(KINDS), choices=sorted(KINDS), metavar="KIND")
    options.add_argument("--name", default="faults", help="of the file in build/bench")
    given = options.parse_args()
    for name in [name for name in os.environ if name.startswith("WEARCAST_")]:
        del os.environ[name]  # the processes see the site's settings, not those of whoever runs this
    may_mount = own_mounts()
    with tempfile.TemporaryDirectory(prefix="wearcast-faults-") as folder:
        Path(folder).chmod(0o755)  # the database runs as another user
        return run(Path(folder), given.faults, given.seed, given.only, given.name, may_mount=may_mount)


def run(folder: Path, faults: int, seed: int, only: list[str], name: str, *, may_mount: bool) -> int:
    """Inject so many faults of these kinds; 0 where all is well."""
    begun = time.monotonic()
    _tell(f"{faults} faults, seed {seed}")
    with ExitStack() as stack:
        site = stack.enter_context(fault_site(folder, may_mount=may_mount))
        kinds = {kind: KINDS[kind] for kind in KINDS if kind in only and (site.disk or kind != NEEDS_SMALL_DISK)}
        if site.disk is None:
            _tell(f"left out: {NEEDS_SMALL_DISK}, which takes the right to mount a disk of its own")
        director = Director(site, kinds, tell=_tell, note=stack.enter_context(_notes(name)))
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
    entries = table(director.injected, found, seed=seed, missed=director.missed, seconds=seconds)
    write(name, entries)
    show(entries)
    for complaint in found.complaints[:50]:
        _tell(f"COMPLAINT: {complaint}")
    well = not found.complaints and not found.lost and not found.doubled
    _tell(
        f"{len(director.injected)} faults in {seconds:.0f} s: {found.accepted_batches} batches accepted,"
        f" {found.lost} lost, {found.doubled} doubled, {len(found.complaints)} complaints"
    )
    _tell(f"{'all is well' if well else 'FAILED'}; the same choices again: make faults FAULTS={faults} SEED={seed}")
    return 0 if well else 1


@contextmanager
def _notes(name: str) -> Iterator[Callable[[str], None]]:
    """Lines with their time into build/bench/<name>.log: what happened when, for whoever looks into a run."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{name}.log").open("w", encoding="utf-8", buffering=1) as file:
        yield lambda text: print(datetime.now(UTC).time().isoformat("milliseconds"), text, file=file)


def _serves(site: FaultSite) -> bool:
    return all(worker.database.commits for worker in site.workers) and all(
        dongle.committed() for dongle in site.dongles
    )


def _settle(site: FaultSite) -> Audit:
    """Let every outbox empty itself, then compare all accounts."""
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
