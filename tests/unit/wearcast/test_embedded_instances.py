"""Folders of running services: who owns them, and what happens to those left behind."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from wearcast.embedded.errors import EmbeddedError
from wearcast.embedded.instances import instance_home
from wearcast.embedded.nats import BrokerUser, configuration
from wearcast.embedded.paths import write_private


def test_a_kept_folder_stays_and_is_ours_once(tmp_path: Path) -> None:
    with instance_home(tmp_path, "a", fresh=False) as (home, is_ours):
        assert is_ours
        (home / "data").write_text("kept")
        with instance_home(tmp_path, "a", fresh=False) as (same, is_second_ours):
            assert same == home
            assert not is_second_ours
    with instance_home(tmp_path, "a", fresh=False) as (home, is_ours):
        assert is_ours
        assert (home / "data").read_text() == "kept"


def test_fresh_folders_are_separate_and_deleted(tmp_path: Path) -> None:
    with (
        instance_home(tmp_path, "a", fresh=True) as (first, _),
        instance_home(tmp_path, "a", fresh=True) as (second, _),
    ):
        assert first != second
        assert first.is_dir()
    assert not first.exists()
    assert not second.exists()


def _die_inside(base: Path) -> None:
    with instance_home(base, "a", fresh=True):
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_folder_of_a_killed_process_is_swept_away_when_it_may_be(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die_inside, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (left,) = (tmp_path / "fresh").iterdir()
    with instance_home(tmp_path, "b", fresh=True, may_remove=lambda _home: False):
        assert left.exists()
    with instance_home(tmp_path, "b", fresh=True):
        assert not left.exists()


def test_a_folder_that_is_deleted_while_those_left_behind_are_looked_through_is_no_trouble(tmp_path: Path) -> None:
    left = [tmp_path / "fresh" / name for name in ("a-1", "a-2", "a-3")]
    for folder in left:
        folder.mkdir(parents=True)
    asked = []

    def the_others_end(home: Path) -> bool:
        asked.append(home)
        for other in left:
            if other != home:
                other.rmdir()
        return False

    with instance_home(tmp_path, "b", fresh=True, may_remove=the_others_end) as (home, is_ours):
        assert is_ours
        assert set((tmp_path / "fresh").iterdir()) == {home, *asked}
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["", "../a", "A", "a/b", "-a"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EmbeddedError, match="cannot name an instance"), instance_home(tmp_path, name, fresh=True):
        pass


def test_private_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_device_name_that_would_widen_its_branch_is_refused(tmp_path: Path) -> None:
    for device in ("*", ">", "a.b", "a/b", ""):
        user = BrokerUser.with_new_password("x", device=device)
        with pytest.raises(EmbeddedError, match="cannot name a device"):
            configuration(tmp_path, (1, 2, 3), [user])


def test_a_password_does_not_show_in_a_users_text() -> None:
    user = BrokerUser.with_new_password("x")
    assert user.password is not None
    assert user.password not in repr(user)
