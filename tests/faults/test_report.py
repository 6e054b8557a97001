"""From what was injected to the rows, and from the rows to the page."""

import pytest

from tests.faults.audit import Audit
from tests.faults.director import Injected
from tests.faults.page import PAGE, faults_table, herd_table, with_table
from tests.faults.report import table


def injected(kind: str, together: int, seconds: float) -> Injected:
    return Injected(kind=kind, together=together, recovery_seconds=seconds)


def rows(audit: Audit) -> dict[str, tuple[float, bool | None]]:
    happened = [injected("broker killed", 1, float(number)) for number in range(1, 101)]
    happened.append(injected("broker killed", 2, 7.0))
    entries = table(happened, audit, seed=5, missed=0, seconds=60.0)
    return {entry["name"]: (entry["value"], entry["met"]) for entry in entries}


def test_recovery_is_told_alone_and_with_others() -> None:
    found = rows(Audit())
    assert found["faults injected"][0] == 101
    assert found["broker killed, alone: faults"][0] == 100
    assert found["broker killed, alone: recovery, median"][0] == 50.5
    assert found["broker killed, alone: recovery, p95"][0] == 95
    assert found["broker killed, alone: recovery, longest"][0] == 100
    assert found["broker killed, with others: recovery, longest"][0] == 7


def test_what_is_lost_misses_the_goal() -> None:
    assert rows(Audit())["batches lost"] == (0.0, True)
    assert rows(Audit(lost=1))["batches lost"] == (1.0, False)
    assert rows(Audit(complaints=["something"]))["complaints of the audit"] == (1.0, False)


def test_the_page_takes_the_tables_between_its_markers() -> None:
    entries = table([injected("broker killed", 1, 0.25)], Audit(), seed=5, missed=0, seconds=60.0)
    shown = faults_table(entries)
    assert "| broker killed | 1 | 0.2 / 0.2 / 0.2 | 0 |  |" in shown
    page = PAGE.read_text(encoding="utf-8")
    once = with_table(page, "faults", shown)
    assert shown in once
    assert with_table(once, "faults", shown) == once
    assert "backlog" in herd_table([{**entries[0], "name": "backlog"}])
    with pytest.raises(ValueError, match="no markers"):
        with_table(page, "nothing", shown)
