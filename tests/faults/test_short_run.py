"""A short run: a quarter of the kinds of faults on one node, one on a cluster, and all counted.

``make faults`` runs it longer. ``FAULTS_SEED`` gives other choices.
"""

import os
import re
import subprocess
import sys

import pytest

from tests.faults.kinds import kinds_of
from tests.faults.patience import VARIABLE
from tests.faults.site import ROOT

# Of its choices: workers, agents, the broker, an engine and the delivery killed, connections cut at the worst places, a
# full disk, a clock that jumps.
SEED = int(os.environ.get("FAULTS_SEED", "2136"))
_PATIENCE = "3"
# The others take elections of up to 13 s each.
ON_CLUSTER = ("cluster node cut off by the network",)

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.database,
    pytest.mark.broker,
    pytest.mark.timeout(900),
]


def test_nothing_is_lost_or_doubled_and_nobody_is_needed() -> None:
    faults = len(kinds_of("node")) // 4  # of as many kinds: none comes again before all have come
    assert _accepted("node", faults) > 50


def test_nothing_is_lost_or_doubled_on_a_cluster() -> None:
    assert _accepted("cluster", len(ON_CLUSTER), "--only", *ON_CLUSTER) > 20


def _accepted(shape: str, faults: int, *options: str) -> int:
    """Batches accepted in a run that went well."""
    command = [sys.executable, "-m", "tests.faults.run", "--faults", str(faults), "--seed", str(SEED)]
    done = subprocess.run(
        [*command, "--shape", shape, "--name", f"faults-short-{shape}", *options],
        cwd=ROOT,
        env={**os.environ, VARIABLE: _PATIENCE},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr)  # noqa: T201 - pytest shows it with a failure
    assert done.returncode == 0
    last = re.search(
        r"^[a-z ]+: (\d+) faults in \d+ s: (\d+) batches accepted, 0 lost, 0 doubled;"
        r" (\d+) alerts and (\d+) messages, 0 lost, 0 doubled; 0 complaints$",
        done.stdout,
        re.MULTILINE,
    )
    assert last is not None
    assert last[1] == str(faults)
    assert f"SEED={SEED}" in done.stdout
    return int(last[2])
