"""A short run: a quarter of the kinds of faults on one node, one on a cluster, and all counted.

``make faults`` runs it longer. ``FAULTS_SEED`` gives others beside those that always come, and another order.
"""

import json
import os
import random
import re
import subprocess
import sys

import pytest

from tests.benchmarks.bench_row import RESULTS
from tests.faults import connections, processes, rules_faults
from tests.faults.kinds import kinds_of
from tests.faults.patience import VARIABLE
from tests.faults.site import ROOT

# Draws a full disk, a database whose clock is ahead and a silent connection; cuts come while nothing else is wrong.
SEED = int(os.environ.get("FAULTS_SEED", "11455"))
# Each process killed, and connections cut where a batch is most easily lost or doubled. By name: which kinds a seed
# alone draws changes with every kind that is added, and one that drew no killed database was not noticed.
ALWAYS = (
    processes.WorkerKilled.kind,
    processes.DongleKilled.kind,
    processes.BrokerKilled.kind,
    processes.DatabaseKilled.kind,
    connections.CopyCut.kind,
    connections.CommitAnswerLost.kind,
    rules_faults.EngineKilled.kind,
    rules_faults.DeliveryKilled.kind,
)
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
    drawn = _with_others(len(kinds_of("node")) // 4)
    assert _accepted("node", len(drawn), "--only", *drawn) > 50  # each comes before any comes again
    rows = json.loads((RESULTS / "faults-short-node.json").read_text(encoding="utf-8"))
    happened = "\n".join(row["name"] for row in rows)
    assert [kind for kind in ALWAYS if f"one node: {kind}, " not in happened] == []


def test_nothing_is_lost_or_doubled_on_a_cluster() -> None:
    assert _accepted("cluster", len(ON_CLUSTER), "--only", *ON_CLUSTER) > 20


def _with_others(count: int) -> list[str]:
    others = sorted(set(kinds_of("node")) - set(ALWAYS))
    return [*ALWAYS, *random.Random(SEED).sample(others, count - len(ALWAYS))]


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
