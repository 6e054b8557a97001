"""Where the operator is told of what is wrong: a file of addresses that carry tokens."""

from pathlib import Path

import pytest

from wearcast.settings import SettingsError
from wearcast.watch.operator import read_addresses


def written(folder: Path, mode: int) -> Path:
    path = folder / "operator"
    path.write_text("# on call\nntfy://one\n\njson://two\n", encoding="utf-8")
    path.chmod(mode)
    return path


def test_one_address_a_line(tmp_path: Path) -> None:
    assert read_addresses(written(tmp_path, 0o600)) == ("ntfy://one", "json://two")
    assert read_addresses(None) == ()


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        read_addresses(written(tmp_path, 0o644))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_addresses(tmp_path / "nothing")
