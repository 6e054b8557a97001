import subprocess
import sys


def test_the_collector_looks_less_often() -> None:
    # In a process of its own, as it stays so.
    asked = "print(gc.get_threshold()[0], gc.get_freeze_count() > 0)"
    code = f"import gc; from ingest import tuning; tuning.spare_collector(); {asked}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == ["50000", "True"]
