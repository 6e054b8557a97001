"""Folders of the private services."""

import os
from pathlib import Path

import pytest

from wearcast.embedded.instances import sweep
from wearcast.embedded.paths import locked, memory_root


def test_a_folder_in_memory_is_ours_and_made_once(tmp_path: Path) -> None:
    made = memory_root(tmp_path, least_bytes=1)
    assert made is not None
    assert made.parent == tmp_path
    assert made.stat().st_uid == os.geteuid()
    assert memory_root(tmp_path, least_bytes=1) == made


def test_where_there_is_no_memory_to_use_there_is_no_folder(tmp_path: Path) -> None:
    assert memory_root(tmp_path / "nowhere", least_bytes=1) is None
    assert memory_root(tmp_path, least_bytes=2**62) is None
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_goes_before_there_is_found_to_be_no_room(tmp_path: Path) -> None:
    root = memory_root(tmp_path, least_bytes=1)
    assert root is not None
    ended, running = root / "fresh" / "ended", root / "fresh" / "running"
    for folder in (ended, running):
        folder.mkdir(parents=True)
    with locked(running / "lock"):
        assert memory_root(tmp_path, least_bytes=2**62, sweep=lambda found: sweep(found, lambda _home: True)) is None
    assert [folder.name for folder in (root / "fresh").iterdir()] == ["running"]


@pytest.mark.parametrize("trap", ["link", "file"])
def test_what_others_put_in_its_place_is_not_taken(tmp_path: Path, trap: str) -> None:
    """Everybody may write to the memory's folder."""
    place, elsewhere = tmp_path / f"wearcast-{os.geteuid()}", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if trap == "link":
        place.symlink_to(elsewhere)
    else:
        place.write_text("")
    assert memory_root(tmp_path, least_bytes=1, sweep=lambda _found: pytest.fail("swept")) is None
    assert list(elsewhere.iterdir()) == []
