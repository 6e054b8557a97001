"""Each in a process of its own: what is set stays set."""

import subprocess
import sys

import pytest

FAULTS_OF_GROUPS = """
import resource, sys, threading
import numpy as np
from ingest import tuning

def group():
    arrays = [np.ones(400_000) for _ in range(4)]  # 3 MB each, all in use at once

def work():
    group()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        group()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

if "keep" in sys.argv:
    tuning.keep_freed_memory()
thread = threading.Thread(target=work)  # groups are decoded in one
thread.start()
thread.join()
"""


def page_faults(*arguments: str) -> int:
    command = [sys.executable, "-c", FAULTS_OF_GROUPS, *arguments]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc alone is told")
def test_memory_of_a_group_is_used_again_without_asking_the_kernel() -> None:
    assert page_faults("keep") < page_faults() / 10


def test_the_collector_looks_less_often() -> None:
    asked = "print(gc.get_threshold()[0], gc.get_freeze_count() > 0)"
    code = f"import gc; from ingest import tuning; tuning.spare_collector(); {asked}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == ["50000", "True"]
