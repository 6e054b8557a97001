"""Who may import whom: the architecture page says what the import contracts enforce, which ``lint-imports`` runs."""

import re
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
PACKAGES: list[str] = CONFIGURATION["importlinter"]["root_packages"]
CONTRACTS: list[dict[str, Any]] = CONFIGURATION["importlinter"]["contracts"]
MOST_LINES = 400
# What must not reach the dongle or the vocabulary, although it is installed beside them here.
HEAVY = {"edge_agent": {"psycopg", "fastapi", "numpy"}, "firmware_profiles": {"psycopg", "fastapi", "numpy"}}


def forbidden() -> set[tuple[str, str]]:
    """Pairs of importer and imported that a contract forbids."""
    pairs: set[tuple[str, str]] = set()
    for contract in CONTRACTS:
        if contract["type"] == "forbidden":
            pairs |= set(product(contract["source_modules"], contract["forbidden_modules"]))
        elif contract["type"] == "independence":
            pairs |= {(one, other) for one, other in product(contract["modules"], repeat=2) if one != other}
        else:
            assert contract["type"] == "layers", contract
            layers = contract["layers"]  # the highest first; a layer may import those below it
            pairs |= {(lower, upper) for index, upper in enumerate(layers) for lower in layers[index + 1 :]}
    return pairs


def documented() -> dict[str, set[str]]:
    """Of the architecture page: which of our packages each package may import."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^(\w+) +-> (.+)$", text, re.MULTILINE))
    allowed: dict[str, set[str]] = {}
    for package in PACKAGES:
        # up to "never …" or a remark in brackets, which say more but allow nothing
        may = re.split(r"\bnever\b", re.sub(r"\([^)]*\)", "", rows[package]))[0]
        named = set(re.findall(r"\w+", may))
        allowed[package] = set(PACKAGES) - {package} if "everything" in named else named & set(PACKAGES)
    return allowed


def test_the_contracts_forbid_what_the_architecture_page_does_not_allow() -> None:
    allowed = documented()
    expected = {
        (importer, imported)
        for importer, imported in product(PACKAGES, PACKAGES)
        if importer != imported and imported not in allowed[importer]
    }
    ours = {(importer, imported) for importer, imported in forbidden() if imported in PACKAGES}
    assert ours == expected


@pytest.mark.parametrize("package", sorted(HEAVY))
def test_what_the_dongle_carries_may_not_import_the_backends_libraries(package: str) -> None:
    assert HEAVY[package] <= {imported for importer, imported in forbidden() if importer == package}


def test_the_contracts_see_every_package_that_is_built() -> None:
    assert CONFIGURATION["hatch"]["build"]["targets"]["wheel"]["packages"] == PACKAGES
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_is_short_enough_to_be_read(package: str) -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / package).rglob("*.py")
    }
    assert lines
    assert {path: count for path, count in lines.items() if count >= MOST_LINES} == {}
