"""From what was injected to the rows, and from the rows to the page."""

import shlex
from collections.abc import Sequence

import pytest

from tests.benchmarks.page_table import with_table
from tests.faults.audit import Audit
from tests.faults.brokers import Shape
from tests.faults.director import Injected
from tests.faults.kinds import ALL_KINDS
from tests.faults.page import PAGE, faults_table, herd_table
from tests.faults.report import ShapeResult, table
from tests.faults.run import divided, repeated


def injected(kind: str, together: int, seconds: float) -> Injected:
    return Injected(kind=kind, together=together, recovery_seconds=seconds)


def result(shape: Shape, happened: Sequence[Injected], audit: Audit) -> ShapeResult:
    return ShapeResult(shape=shape, injected=happened, missed=0, audit=audit, seconds=60.0)


def rows(audit: Audit) -> dict[str, tuple[float, bool | None]]:
    happened = [injected("broker killed", 1, float(number)) for number in range(1, 101)]
    happened.append(injected("broker killed", 2, 7.0))
    entries = table([result("node", happened, audit)], seed=5)
    return {entry["name"]: (entry["value"], entry["met"]) for entry in entries}


def test_recovery_is_told_alone_and_with_others() -> None:
    found = rows(Audit())
    assert found["one node: faults injected"][0] == 101
    assert found["one node: broker killed, alone: faults"][0] == 100
    assert found["one node: broker killed, alone: recovery, median"][0] == 50.5
    assert found["one node: broker killed, alone: recovery, p95"][0] == 95
    assert found["one node: broker killed, alone: recovery, longest"][0] == 100
    assert found["one node: broker killed, with others: recovery, longest"][0] == 7


def test_what_is_lost_misses_the_goal() -> None:
    assert rows(Audit())["one node: batches lost"] == (0.0, True)
    assert rows(Audit(lost=1))["one node: batches lost"] == (1.0, False)
    assert rows(Audit(complaints=["something"]))["one node: complaints of the audit"] == (1.0, False)


def test_a_quarter_of_the_faults_of_both_shapes_is_the_clusters() -> None:
    assert divided(1000, "both") == {"node": 750, "cluster": 250}
    assert divided(25, "both") == {"node": 18, "cluster": 7}
    assert divided(25, "cluster") == {"cluster": 25}


def test_the_page_takes_the_tables_between_its_markers() -> None:
    happened = [injected("worker killed", 1, 0.25)]
    entries = table([result("node", happened, Audit()), result("cluster", happened * 2, Audit())], seed=5)
    shown = faults_table(entries)
    assert "| faults injected | 1 | 2 |" in shown
    assert "| one node | worker killed | 1 | 0.2 / 0.2 / 0.2 | 0 |  |" in shown
    assert "| cluster | worker killed | 2 | 0.2 / 0.2 / 0.2 | 0 |  |" in shown
    page = PAGE.read_text(encoding="utf-8")
    once = with_table(page, "faults", shown)
    assert shown in once
    assert with_table(once, "faults", shown) == once
    assert "backlog" in herd_table([{**entries[0], "name": "backlog"}])
    with pytest.raises(ValueError, match="no markers"):
        with_table(page, "nothing", shown)


def test_the_last_line_repeats_the_choices_of_a_run_of_some_kinds_too() -> None:
    assert repeated(5, 7, "node", ALL_KINDS) == "FAULTS=5 SEED=7 SHAPE=node"
    some = repeated(5, 7, "node", ["worker killed", "database's clock ahead"])
    (arguments,) = [part.removeprefix("ARGS=") for part in shlex.split(some) if part.startswith("ARGS=")]
    assert shlex.split(arguments) == ["--only", "worker killed", "database's clock ahead"]
