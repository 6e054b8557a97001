"""Cases of trouble codes with what public guidance says of them: ``trouble_code_cases.yaml``, read and typed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from health.signals import COOLANT_TEMPERATURE, ENGINE_LOAD, SPEED
from health.trouble_code_urgency import CodeEvidence, Level
from tests.benchmarks.health.table import Split

_FILE: Final = Path(__file__).with_suffix(".yaml")
_PATHS: Final = {"coolant": COOLANT_TEMPERATURE.path, "load": ENGINE_LOAD.path, "speed": SPEED.path}
LEVELS: Final[tuple[Level, ...]] = ("drive_on", "soon", "stop")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One code in its circumstances, and what the source says of it."""

    name: str
    split: Split
    evidence: CodeEvidence
    expect: Level
    source: str


def cases() -> tuple[Case, ...]:
    """All of the file, in its order. KeyError for a source or a value of a frame that it does not name."""
    document = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    splits: tuple[Split, ...] = ("fit", "judged")
    return tuple(_case(entry, split, document["sources"]) for split in splits for entry in document[split])


def _case(entry: Mapping[str, Any], split: Split, sources: Mapping[str, str]) -> Case:
    evidence = CodeEvidence(
        code=entry["code"],
        status=entry.get("status", "confirmed"),
        lamp=entry.get("lamp"),
        days_seen=entry.get("days_seen", 1),
        frame={_PATHS[name]: float(value) for name, value in entry.get("frame", {}).items()},
    )
    return Case(
        name=entry["name"],
        split=split,
        evidence=evidence,
        expect=LEVELS[LEVELS.index(entry["expect"])],
        source=sources[entry["source"]],
    )
