"""A short run: every kind of fault once, alone and together, and every batch counted. ``make faults`` runs it longer.

``FAULTS_SEED`` repeats a run's choices.
"""

import os
import random
import re
import subprocess
import sys

import pytest

from tests.faults.kinds import KINDS
from tests.faults.site import ROOT

SEED = int(os.environ.get("FAULTS_SEED", str(random.randrange(2**32))))

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.database,
    pytest.mark.broker,
    pytest.mark.timeout(400),
]


def test_nothing_is_lost_or_doubled_and_nobody_is_needed() -> None:
    faults = str(len(KINDS))
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.run", "--faults", faults, "--seed", str(SEED), "--name", "faults-short"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout, done.stderr)  # noqa: T201 - pytest shows it with a failure
    assert done.returncode == 0
    last = re.search(
        r"^(\d+) faults in \d+ s: (\d+) batches accepted, 0 lost, 0 doubled, 0 complaints$", done.stdout, re.MULTILINE
    )
    assert last is not None
    assert last[1] == faults
    assert int(last[2]) > 100
    assert f"SEED={SEED}" in done.stdout
