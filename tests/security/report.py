"""`make security`: every attack on every broker, its answer and whether it held. Writes build/bench/security.json."""

import sys
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.benchmarks.bench_row import row, write
from tests.security.fortress import KINDS


@dataclass
class Attacks:
    """A pytest plugin that collects the marks of attacks and what became of them."""

    answers: dict[str, str] = field(default_factory=dict)  # by attack
    held: dict[tuple[str, str], bool] = field(default_factory=dict)  # by attack and broker

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("attack"):
                self.answers[mark.kwargs["name"]] = mark.kwargs["answer"]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        called = getattr(item, "callspec", None)  # a test without parameters has none
        kind = None if called is None else called.params.get("fortress")
        for mark in item.iter_markers("attack"):
            if isinstance(kind, str) and (report.when == "call" or not report.passed):
                key = (str(mark.kwargs["name"]), kind)
                self.held[key] = self.held.get(key, True) and report.passed
        return report


def main() -> int:
    """Run, print the list, and write the rows; the exit status of pytest."""
    attacks = Attacks()
    status = pytest.main(["-q", str(Path(__file__).parent), *sys.argv[1:]], plugins=[attacks])
    lines = [f"\n{'attack':<78} {'  '.join(KINDS)}"]
    for name, answer in attacks.answers.items():
        marks = [{True: "held", False: "FAILED", None: "-"}[attacks.held.get((name, kind))] for kind in KINDS]
        lines.append(f"{name:<78} {'  '.join(marks)}\n    {answer}")
    sys.stdout.write("\n".join(lines) + "\n")
    write(
        "security",
        [
            row(
                f"attacks withstood, {kind}",
                sum(held for (_, broker), held in attacks.held.items() if broker == kind),
                "attacks",
                at_least=len(attacks.answers),
            )
            for kind in KINDS
        ],
    )
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
