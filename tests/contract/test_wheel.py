"""The wheel holds our packages with their data and nothing else; it works where only it is installed."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
ELSEWHERE: dict[str, str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
NOT_ON_THE_DONGLE = {"psycopg", "psycopg-binary", "numpy", "fastapi", "apprise", "pint"}


pytestmark = pytest.mark.timeout(300)  # the first of them builds the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the tree as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel's content lies, away from the repository."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def files_of_the_tree() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_it_holds_our_packages_with_their_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not re.match(r"wearcast-[^/]+\.dist-info/", name)}
    assert names == files_of_the_tree() | set(ELSEWHERE.values())


@pytest.mark.parametrize(
    "pattern",
    [
        *(f"{package}/py.typed" for package in PACKAGES),
        "telemetry/signals.yaml",
        "telemetry/trouble_codes/*.yaml",
        "ingest/migrations/*.sql",
        "rules/migrations/*.sql",
        "rules/rulebook/*.yaml",
        "firmware_profiles/vehicles/*.yaml",
        "firmware_profiles/hardware/*.yaml",
        "firmware_profiles/schema/*.json",
        "firmware_profiles/templates/*.sh",
        "firmware_profiles/units/*.service",
        "portal/templates/*.html",
        "portal/static/*.css",
    ],
)
def test_each_kind_of_data_is_in_it(unpacked: Path, pattern: str) -> None:
    assert list(unpacked.glob(pattern)), pattern


def test_the_command_finds_its_data_where_only_the_wheel_is(unpacked: Path, tmp_path: Path) -> None:
    def wearcast(*arguments: str) -> list[dict[str, object]]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WEARCAST_")}
        done = subprocess.run(
            [sys.executable, "-m", "wearcast.cli", *arguments, "--json"],
            cwd=tmp_path,
            env={**clean, "PYTHONPATH": str(unpacked)},  # before the repository, which is installed as editable
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, object]] = json.loads(done.stdout)
        return rows

    profiles = {row["profile"] for row in wearcast("flash", "profiles")}
    assert {"generic", "pi_zero_2w_mcp2515"} <= profiles
    assert len(wearcast("rules", "list")) == len(list((ROOT / "rules" / "rulebook").glob("*.yaml")))
    bundle = ("flash", "bundle", "car-7", "--broker", "broker.example:8883", "--ca", "ca", "--out", "bundle")
    assert wearcast(*bundle)
    units = [path.name for path in (tmp_path / "bundle").rglob("*.service")]
    assert units == ["wearcast-agent.service"]


def test_the_extras_are_those_of_the_project_and_the_command_is_installed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (information,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers = Parser().parsestr(archive.read(information).decode())
        (entries,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        assert "wearcast = wearcast.cli:main" in archive.read(entries).decode()
    assert headers["Name"] == "wearcast"
    assert set(headers.get_all("Provides-Extra", [])) == {"edge", "elm327", "backend", "embedded", "dev"}
    requirements = [Requirement(text) for text in headers.get_all("Requires-Dist", [])]
    edge = {canonicalize_name(requirement.name) for requirement in requirements if applies(requirement, "edge")}
    backend = {canonicalize_name(requirement.name) for requirement in requirements if applies(requirement, "backend")}
    assert {"paho-mqtt", "python-can", "can-isotp"} <= edge
    assert {"psycopg", "numpy", "fastapi", "aiomqtt"} <= backend
    assert not edge & NOT_ON_THE_DONGLE


def test_the_dongle_gets_none_of_the_backend_even_by_way_of_others() -> None:
    project = PROJECT["project"]
    needed = set(closure(map(Requirement, (*project["dependencies"], *project["optional-dependencies"]["edge"]))))
    assert {"paho-mqtt", "python-can", "msgspec"} <= needed
    assert not needed & NOT_ON_THE_DONGLE


def applies(requirement: Requirement, extra: str = "") -> bool:
    """Whether it is installed with an extra; without one, always."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def closure(requirements: Iterator[Requirement]) -> Iterator[str]:
    """The names of all distributions that come with these, as this environment has them."""
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, extra) for requirement in requirements for extra in ("", *requirement.extras)]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        yield name
        for text in metadata.requires(name) or []:
            further = Requirement(text)
            if applies(further, extra):
                waiting += [(further, wanted) for wanted in ("", *further.extras)]
