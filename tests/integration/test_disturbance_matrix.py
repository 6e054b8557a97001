"""Whatever goes wrong between the car and the agent: no value that is not so, no hang, and it recovers by itself."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.disturbance_matrix import CELLS, Outcome, run_cell

AT_ONCE = 12  # they mostly wait
WATCHDOG_S = 60  # systemd ends an agent whose loop does not turn for so long

Running = dict[tuple[str, str], Future[Outcome]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """All cells, several at a time."""
    folder: Path = tmp_path_factory.mktemp("matrix")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {cell: pool.submit(run_cell, *cell, folder) for cell in CELLS}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cell", CELLS, ids=[f"{source}-{disturbance}" for source, disturbance in CELLS])
def test_no_disturbance_makes_a_value(running: Running, cell: tuple[str, str]) -> None:
    outcome = running[cell].result()
    assert outcome.bogus == []
    assert outcome.noticed != ""
    assert outcome.recovered
    assert outcome.longest_poll_s < WATCHDOG_S
