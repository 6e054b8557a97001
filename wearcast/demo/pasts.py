"""Simulates the cars' past: `wearcast agent history` for each, as many at once as there are cores."""

import os
import time

import msgspec

from wearcast.demo.cars import Past, write_past_garage
from wearcast.demo.errors import DemoError
from wearcast.demo.stage import Stage
from wearcast.demo.story import HISTORY_DAYS, HISTORY_SAMPLE_PERIOD_S, STORIES, Story

_POLL_SECONDS = 0.05


def simulate_pasts(stage: Stage) -> list[Past]:
    """Write every car's months up to now; DemoError if one cannot be simulated."""
    folder = stage.folder / "pasts"
    folder.mkdir()
    write_past_garage(folder / "garage.yaml")
    waiting, running, pasts = list(STORIES), list[Story](), dict[str, Past]()
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            running.append(waiting.pop(0))
            _start(stage, running[-1])
        for story in [story for story in running if not stage.processes[_name(story)].alive]:
            running.remove(story)
            pasts[story.device] = _take(stage, story)
        time.sleep(_POLL_SECONDS)
    return [pasts[story.device] for story in STORIES]


def _name(story: Story) -> str:
    return f"past-{story.device}"


def _start(stage: Stage, story: Story) -> None:
    folder = stage.folder / "pasts"
    span = ("--days", str(HISTORY_DAYS), "--period", str(HISTORY_SAMPLE_PERIOD_S))
    recording = folder / f"{story.device}.csv.gz"
    stage.start(_name(story), ("agent", "history", folder / "garage.yaml", story.device, recording, *span))


def _take(stage: Stage, story: Story) -> Past:
    process = stage.processes.pop(_name(story))
    if process.returncode != 0:
        raise DemoError(f"the past of {story.device} could not be simulated; see {process.log_path}")
    said = msgspec.json.decode(process.output(), type=dict[str, object])
    condition = msgspec.convert(said["condition at its end"], dict[str, object])
    return Past(story=story, recording=stage.folder / "pasts" / f"{story.device}.csv.gz", condition=condition)
