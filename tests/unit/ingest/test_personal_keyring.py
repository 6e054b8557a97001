"""The key ring's file: made once, for its user alone, and read again when it has changed."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest.errors import PersonalDataError
from ingest.personal import vault
from ingest.personal.keyring import KeyRingFile, new_ring

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def test_it_is_made_on_first_use_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "keys"
    ring = KeyRingFile(path).read()
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyRingFile(path).read() == ring
    assert [file.name for file in path.parent.iterdir()] == ["keys"]


def test_the_newest_key_encrypts_and_older_ones_open(tmp_path: Path) -> None:
    file, elsewhere = KeyRingFile(tmp_path / "keys"), KeyRingFile(tmp_path / "keys")
    before = elsewhere.read()
    after = file.change(lambda ring: ring.with_another(NOW))
    assert elsewhere.read() == after  # another process sees it at once
    assert after.newest not in before.keys
    assert after.key(before.newest.id) == before.newest
    assert after.key(b"nowhere.") is None
    assert after.without(before.newest.id).keys == (after.newest,)
    with pytest.raises(PersonalDataError, match="the newest key encrypts"):
        after.without(after.newest.id)
    with pytest.raises(PersonalDataError, match="there is no key"):
        after.without(b"nowhere.")


def test_a_prepared_key_opens_first_and_seals_when_its_turn_comes() -> None:
    ring = new_ring(NOW)
    waiting = ring.with_prepared(NOW + timedelta(days=1))
    assert waiting.newest == ring.newest
    assert waiting.prepared is not None
    assert waiting.key(waiting.prepared.id) == waiting.prepared
    turned = waiting.with_another(NOW + timedelta(days=2))
    assert turned.keys == (ring.newest, waiting.prepared)
    assert turned.prepared is ring.prepared is None
    assert len(turned.with_another(NOW + timedelta(days=3)).keys) == 3


def test_a_clock_that_was_set_back_makes_no_old_key_the_one_that_waits() -> None:
    turned = new_ring(NOW).with_another(NOW - timedelta(days=1))
    assert turned.prepared is None
    assert turned.with_prepared(NOW - timedelta(days=2)).newest == turned.newest
    assert turned.with_prepared(NOW - timedelta(days=2)).prepared not in {None, *turned.keys}


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = KeyRingFile(tmp_path / "keys")
    file.read()
    file.path.chmod(0o640)
    with pytest.raises(PersonalDataError, match="chmod 600"):
        file.read()


def test_of_changes_made_at_once_none_drops_the_others_key(tmp_path: Path) -> None:
    before = KeyRingFile(tmp_path / "keys").read()
    together = threading.Barrier(8)

    def another() -> None:
        file = KeyRingFile(tmp_path / "keys")
        file.read()
        together.wait()
        file.change(lambda ring: ring.with_another(NOW))

    threads = [threading.Thread(target=another) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = KeyRingFile(tmp_path / "keys").read()
    assert len(after.keys) == 9
    assert after.key(before.newest.id) == before.newest


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"format": "other/1"}', '{"format": "wearcast.keys/1", "index_key": "QUJD", "keys": []}'],
)
def test_what_is_no_key_ring_is_refused_and_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(PersonalDataError, match="holds no key ring"):
        KeyRingFile(path).read()
    assert path.read_text() == content


def test_a_process_that_was_given_no_keys_says_what_to_do(personal_keys: KeyRingFile) -> None:
    vault.use_keys(None)
    try:
        with pytest.raises(PersonalDataError, match="WEARCAST_PERSONAL_KEY_FILE"):
            vault.the_vault()
    finally:
        vault.use_keys(lambda: personal_keys)
