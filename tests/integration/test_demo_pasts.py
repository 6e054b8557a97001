"""The demo simulates its cars' past by processes of its own, which end when it does."""

from pathlib import Path

import pytest

from wearcast.demo import pasts
from wearcast.demo.errors import DemoError
from wearcast.demo.stage import Stage
from wearcast.demo.story import STORIES


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    (tmp_path / "logs").mkdir()
    return Stage(folder=tmp_path, environment={}, users=(), broker_port=1, portal_port=1, mail=tmp_path / "mail")


def test_every_car_gets_a_past_and_the_condition_it_left(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pasts, "HISTORY_DAYS", 0.5)
    found = pasts.simulate_pasts(stage)
    assert [past.story for past in found] == list(STORIES)
    for past in found:
        assert past.recording.stat().st_size > 100
        odometer = past.condition["odometer_km"]
        assert isinstance(odometer, float)
        assert odometer > 0
    assert not stage.processes  # those that ended well are of no more concern


def test_a_past_that_fails_is_named(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pasts, "HISTORY_DAYS", -1)
    with pytest.raises(DemoError, match="could not be simulated"):
        pasts.simulate_pasts(stage)
    stage.stop(stage.processes, 5.0)
