"""The part of the bootstrap that decides whether anything has to be done, and with which interpreter."""

import ast
import sys
from pathlib import Path

import pytest

from wearcast.embedded import bootstrap


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("a==1\n")
    return tmp_path


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_changed_input_changes_the_stamp(project: Path, changed: str) -> None:
    before = bootstrap.expected_stamp(project)
    assert bootstrap.expected_stamp(project) == before
    with (project / changed).open("a") as file:
        file.write("# changed\n")
    assert bootstrap.expected_stamp(project) != before


def test_a_moved_folder_changes_the_stamp(project: Path) -> None:
    before = bootstrap.expected_stamp(project)
    moved = project.rename(project.with_name("moved"))
    assert bootstrap.expected_stamp(moved) != before


@pytest.mark.parametrize("version", [(3, 10, 14), (3, 14, 0)])
def test_an_unsupported_interpreter_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=rf"3\.11, 3\.12 or 3\.13 and this is 3\.{version[1]}: install") as stop:
        bootstrap.interpreter()
    assert "\n" not in str(stop.value)


def test_an_unsupported_interpreter_finds_a_supported_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dead, alive = tmp_path / "python3.13", tmp_path / "python3.12"
    dead.write_text("#!/bin/sh\nexit 127\n")  # as a version manager's shim for a version that is not active
    alive.write_text("#!/bin/sh\nexit 0\n")
    for path in (dead, alive):
        path.chmod(0o755)
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.interpreter() == str(alive)


@pytest.mark.parametrize("name", ["apt", "bootstrap", "errors", "launcher", "paths"])
def test_what_runs_before_the_installation_needs_the_standard_library_only(name: str) -> None:
    path = Path(bootstrap.__file__).with_name(f"{name}.py")
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported - {"wearcast"} <= sys.stdlib_module_names


def test_the_bootstrap_is_readable_to_an_old_interpreter() -> None:
    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 7))
