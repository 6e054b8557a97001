"""Envelopes and sealed files: what was sealed comes back, and nothing that was touched does."""

import io
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import PersonalDataError
from ingest.personal import envelope, stream
from ingest.personal.keyring import MemoryKeyRing, new_ring
from ingest.personal.vault import Vault

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ROW = UUID(int=1)
JSON = st.none() | st.text() | st.floats(allow_nan=False) | st.lists(st.text(), max_size=3)


def vault() -> Vault:
    return Vault(MemoryKeyRing(new_ring(NOW)))


@given(JSON)
def test_a_value_comes_back_where_it_was_sealed(value: object) -> None:
    person = vault().new_person(uuid4())
    sealed = person.seal("owner", "name", ROW, value)
    assert (sealed is None) == (value is None)
    assert person.unseal("owner", "name", ROW, sealed) == value


@given(st.binary(max_size=50), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_no_byte_of_an_envelope_may_change(plain: bytes, where: int, change: int) -> None:
    key, place = envelope.new_key(), envelope.place("owner", "name", ROW)
    sealed = bytearray(envelope.seal(key, envelope.new_key_id(), plain, place))
    sealed[where % len(sealed)] ^= change
    with pytest.raises(PersonalDataError):
        envelope.unseal(key, bytes(sealed), place)


def test_an_envelope_opens_in_no_other_row_column_table_or_person() -> None:
    keys = vault()
    ada, row = keys.new_person(uuid4()), uuid4()
    sealed = ada.seal("owner", "name", row, "Ada")
    for table, column, other in (("vehicle", "name", row), ("owner", "email", row), ("owner", "name", uuid4())):
        with pytest.raises(PersonalDataError, match="moved from another row"):
            ada.unseal(table, column, other, sealed)
    with pytest.raises(PersonalDataError):
        keys.new_person(ada.owner_id).unseal("owner", "name", row, sealed)


def test_the_same_value_is_sealed_differently_each_time() -> None:
    ada = vault().new_person(uuid4())
    assert ada.seal("owner", "name", ROW, "Ada") != ada.seal("owner", "name", ROW, "Ada")


def test_a_persons_key_is_theirs_and_needs_the_ring() -> None:
    keys = vault()
    ada, other = keys.new_person(uuid4()), uuid4()
    wrapped = keys.wrap(ada)
    assert keys.person(ada.owner_id, wrapped) == ada
    with pytest.raises(PersonalDataError):
        keys.person(other, wrapped)
    with pytest.raises(PersonalDataError, match="lacks master key"):
        vault().person(ada.owner_id, wrapped)
    with pytest.raises(PersonalDataError, match="their key is gone"):
        keys.person(ada.owner_id, None)


def test_nothing_that_is_printed_holds_a_key() -> None:
    ring = new_ring(NOW)
    ada = Vault(MemoryKeyRing(ring)).new_person(uuid4())
    for secret in (ring.newest.key, ring.index_key, ada.key):
        assert repr(secret) not in repr(ring) + repr(ada)


def test_the_blind_index_tells_equal_values_and_kinds_apart() -> None:
    keys = vault()
    assert keys.index("vin", "A") == keys.index("vin", "A") != keys.index("vin", "B")
    assert keys.index("vin", "A") != keys.index("email", "A")
    assert keys.index("vin", "A") != vault().index("vin", "A")


SIZES = (0, 1, stream.PIECE_BYTES - 1, stream.PIECE_BYTES, stream.PIECE_BYTES + 1, 2 * stream.PIECE_BYTES)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_comes_back_whole(size: int) -> None:
    ring, plain = new_ring(NOW), bytes(index % 251 for index in range(size))
    sealed, opened = io.BytesIO(), io.BytesIO()
    assert stream.seal_stream(io.BytesIO(plain), sealed, ring) == size
    sealed.seek(0)
    assert stream.master_key_id(sealed) == ring.newest.id
    sealed.seek(0)
    assert stream.unseal_stream(sealed, opened, ring) == size
    assert opened.getvalue() == plain


def test_a_file_that_is_cut_swapped_or_anothers_does_not_open() -> None:
    ring, target = new_ring(NOW), io.BytesIO()
    stream.seal_stream(io.BytesIO(bytes(3 * stream.PIECE_BYTES)), target, ring)
    whole = target.getvalue()
    piece = stream.PIECE_BYTES + 16
    head = len(whole) - 3 * piece
    first, second = whole[head : head + piece], whole[head + piece : head + 2 * piece]
    for damaged in (
        whole[:-piece],  # the last piece is missing
        whole[:-1],
        whole[:head] + second + first + whole[head + 2 * piece :],
        whole + b"x",
        whole[: head - 1],
        b"PGDMP" + whole,
    ):
        with pytest.raises(PersonalDataError):
            stream.unseal_stream(io.BytesIO(damaged), io.BytesIO(), ring)
    with pytest.raises(PersonalDataError, match="lacks master key"):
        stream.unseal_stream(io.BytesIO(whole), io.BytesIO(), new_ring(NOW))
