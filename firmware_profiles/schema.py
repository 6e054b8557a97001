"""JSON schemas of the profiles, made from :mod:`firmware_profiles.keys`, for editors and for the tests.

``python -m firmware_profiles.schema`` writes the files in ``firmware_profiles/schema`` again after a key has changed.
"""

import json
from pathlib import Path

from firmware_profiles.keys import HARDWARE, VEHICLE
from firmware_profiles.shape import Record

FOLDER = Path(__file__).parent / "schema"
SHAPES = {"vehicle": VEHICLE, "hardware": HARDWARE}


def schema(kind: str) -> dict[str, object]:
    """JSON schema (draft 2020-12) of ``vehicle`` or ``hardware`` profiles."""
    shape: Record = SHAPES[kind]
    partial = {
        "anyOf": [{"required": ["extends"]}, {"required": ["family"], "properties": {"family": {"const": True}}}]
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Wearcast {kind} profile",
        "if": partial,
        "then": {"$ref": "#/$defs/partial"},
        "else": {"$ref": "#/$defs/whole"},
        "$defs": {"partial": shape.schema(partial=True), "whole": shape.schema(partial=False)},
    }


def schema_text(kind: str) -> str:
    """The schema as it stands in its file."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def write_schemas() -> None:
    """Write both files."""
    for kind in SHAPES:
        (FOLDER / f"{kind}.schema.json").write_text(schema_text(kind), encoding="utf-8")


if __name__ == "__main__":
    write_schemas()
