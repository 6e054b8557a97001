"""The stored priors of the traction battery are what their script chooses, on a small share of its data."""

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.health.fit_traction_battery import CANDIDATES, CHOSEN, Score, data, score
from tests.benchmarks.health.table import DATA

pytestmark = [
    pytest.mark.recordings,
    pytest.mark.skipif(not Path(DATA).is_dir(), reason="the recordings (../shared/data) are not on this machine"),
]


def test_the_stored_priors_foretell_better_than_those_clearly_different() -> None:
    kinds = data(3, 36)
    stored = {kind: score(seen, CHOSEN) for kind, seen in kinds.items()}
    different = ("calm fading only", "a cell's fading only", "a failing cell's fading only", "gauge scale 1 % higher")
    for name in (*different, "straighter fading"):
        other = {kind: score(seen, CANDIDATES[name]) for kind, seen in kinds.items()}
        assert mean_likelihood(stored) < mean_likelihood(other), name
    often = {kind: one for kind, one in stored.items() if "whole lives" not in kind}  # those are 36 charges in all
    rested = [one for kind, one in often.items() if "rested" in kind]
    assert len(rested) == 3
    assert max(one.rmse for one in rested) < 1.5
    assert max(one.rmse for kind, one in often.items() if "raw" in kind) < 3.0


def mean_likelihood(scores: dict[str, Score]) -> float:
    return float(np.mean([one.likelihood for one in scores.values()]))
