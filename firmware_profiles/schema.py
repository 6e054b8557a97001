"""JSON schemas and documented tables of the profiles, made from :mod:`firmware_profiles.keys` and from the files.

``python -m firmware_profiles.schema`` writes them again after a key or a profile has changed.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from firmware_profiles.keys import HARDWARE, VEHICLE
from firmware_profiles.loader import list_profiles
from firmware_profiles.profile import VehicleProfile
from firmware_profiles.shape import Kind, ListOf, Record

FOLDER = Path(__file__).parent / "schema"
SHAPES = {"vehicle": VEHICLE, "hardware": HARDWARE}
# Columns of the catalogue that tell how worn a part is, without the wheel: what profiles of makers' data are for.
WEAR: Final = frozenset(
    {"traction_battery_soh", "traction_battery_net_capacity", "oil_life", "pad_wear", "tire_pressure"}
)
_WHEEL = re.compile(r"_row\d_(left|right)$")


def schema(kind: str) -> dict[str, object]:
    """JSON schema (draft 2020-12) of ``vehicle`` or ``hardware`` profiles."""
    shape: Record = SHAPES[kind]
    family = {"required": ["family"], "properties": {"family": {"const": True}}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Wearcast {kind} profile",
        "if": {"anyOf": [{"required": ["extends"]}, family]},
        "then": {"$ref": "#/$defs/partial"},
        "else": {"$ref": "#/$defs/whole"},
        "$defs": {"partial": shape.schema(partial=True), "whole": shape.schema(partial=False)},
    }


def schema_text(kind: str) -> str:
    """The schema as it stands in its file."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def keys_table(kind: str) -> str:
    """The keys as a Markdown table for ``docs/profiles.md``: path, whether it must be there, meaning."""
    lines = ["| key | must be there | meaning |", "|---|---|---|", *_rows(SHAPES[kind], "")]
    return "\n".join(lines) + "\n"


def _rows(shape: Kind, prefix: str) -> Iterator[str]:
    if isinstance(shape, ListOf):
        yield from _rows(shape.kind, prefix)
    if isinstance(shape, Record):
        for name, key in shape.keys.items():
            must = "yes" if key.required else "yes, here or in what it extends" if key.inherited else ""
            path = f"{prefix}{name}[]" if isinstance(key.kind, ListOf) else f"{prefix}{name}"
            must = "deprecated" if key.deprecated else must
            yield f"| `{path}` | {must} | {key.meaning} |"
            yield from _rows(key.kind, path + ".")


def inventory_table(kind: str) -> str:
    """The profiles that ship as a Markdown table for ``docs/profiles.md``."""
    profiles = list_profiles()
    if kind == "hardware":
        rows = [f"| `{each.name}` | {each.title} | {each.interface.kind} |" for each in profiles.hardware]
        return "\n".join(["| name | dongle | interface |", "|---|---|---|", *rows]) + "\n"
    rows = [f"| `{each.name}` | {each.title} | {' | '.join(_told(each))} |" for each in profiles.vehicles]
    head = "| name | car | how worn it is, told by the car itself | besides |"
    return "\n".join([head, "|---|---|---|---|", *rows]) + "\n"


def _told(vehicle: VehicleProfile) -> tuple[str, str]:
    """What the maker's identifiers tell: of wear, and besides; a value of each wheel is named once."""
    columns = dict.fromkeys(_WHEEL.sub("", signal.column) for did in vehicle.dids for signal in did.signals)
    wear = [column for column in columns if column in WEAR]
    return ", ".join(wear), ", ".join(column for column in columns if column not in WEAR)


def page_with_tables(page: str) -> str:
    """``docs/profiles.md`` with its four tables made anew, each under its heading."""
    tables = {
        "## Vehicles that ship": inventory_table("vehicle"),
        "## Hardware that ships": inventory_table("hardware"),
        "## The keys of a vehicle profile": keys_table("vehicle"),
        "## The keys of a hardware profile": keys_table("hardware"),
    }
    for heading, table in tables.items():
        before, _, after = page.partition(f"{heading}\n\n")
        _, _, rest = after.partition("\n\n")
        page = f"{before}{heading}\n\n{table}\n{rest}"
    return page


def write_all() -> None:
    """Write the schemas, and the tables of the page where the sources are at hand."""
    for kind in SHAPES:
        (FOLDER / f"{kind}.schema.json").write_text(schema_text(kind), encoding="utf-8")
    page = FOLDER.parents[1] / "docs" / "profiles.md"
    if page.is_file():
        page.write_text(page_with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write_all()
