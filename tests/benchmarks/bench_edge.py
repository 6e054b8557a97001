"""``make bench-edge``: every benchmark of the dongle, one after the other, printed and kept in build/bench/edge.json.

A part is a module ``bench_edge_<part>`` beside this one with a function ``rows() -> list[Row]`` (see bench_row), each
run in a process of its own: memory and CPU of one are not those of another. ``python -m tests.benchmarks.bench_edge
bytes outbox`` runs only these. A part that cannot run here ends with SystemExit and the reason; its rows of an earlier
run stay as they are.
"""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Final, cast

from tests.benchmarks.bench_row import RESULTS, ROOT, Row, show, write

PREFIX: Final = "bench_edge_"


def parts() -> list[str]:
    """Names of all parts."""
    return sorted(file.stem.removeprefix(PREFIX) for file in Path(__file__).parent.glob(f"{PREFIX}*.py"))


def measure(part: str) -> list[Row]:
    """Run one part in this process."""
    module = importlib.import_module(f"tests.benchmarks.{PREFIX}{part}")
    return [Row(**{**entry, "part": part}) for entry in cast("list[Row]", module.rows())]


def merge(before: list[Row], part: str, table: list[Row]) -> list[Row]:
    """The table with this part's rows in place of its earlier ones, by part."""
    others = [entry for entry in before if entry.get("part") != part]
    return sorted([*others, *table], key=lambda entry: entry.get("part", ""))


def main(arguments: list[str]) -> int:
    """Run the parts named, or all; 1 if one of them failed."""
    if arguments[:1] == ["--part"]:
        print(json.dumps(measure(arguments[1])))  # noqa: T201 - read by the process that started this one
        return 0
    result = RESULTS / "edge.json"
    merged: list[Row] = json.loads(result.read_text(encoding="utf-8")) if result.exists() else []
    failed: list[str] = []
    for part in arguments or parts():
        print(f"\n{part}", flush=True)  # noqa: T201 - this is its output
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.bench_edge", "--part", part],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            failed.append(part)
            continue
        table: list[Row] = json.loads(done.stdout.splitlines()[-1])
        show(table)
        merged = merge(merged, part, table)
        write("edge", merged)
    if failed:
        print(f"\nnot measured: {', '.join(failed)}")  # noqa: T201 - this is its output
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
