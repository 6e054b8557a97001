"""Opens persons: each has a data key of their own, wrapped by a master key. The data key ends with its person.

The composition root says once per process where the key ring is (:func:`use_keys`); nothing is read before the first
person is opened, so a process that needs no personal data, as the ingest worker, needs no keys.
"""

import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from ingest.errors import PersonalDataError
from ingest.personal import envelope
from ingest.personal.keyring import KeyRing, KeyRings

_INDEX_PURPOSE: Final = b"wearcast.index\0"


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person whose data key is open: seals and opens what belongs to them."""

    owner_id: UUID
    key_id: bytes
    key: bytes = field(repr=False)

    def seal(self, table: str, column: str, row: UUID, value: object) -> bytes | None:
        """The envelope of a value that JSON can hold; None for None."""
        if value is None:
            return None
        plain = json.dumps(value, ensure_ascii=False).encode()
        return envelope.seal(self.key, self.key_id, plain, self._place(table, column, row))

    def unseal(self, table: str, column: str, row: UUID, sealed: bytes | None) -> object:
        """The value of an envelope; None for None. PersonalDataError where it is not what was sealed there."""
        if sealed is None:
            return None
        value: object = json.loads(envelope.unseal(self.key, sealed, self._place(table, column, row)))
        return value

    def unseal_text(self, table: str, column: str, row: UUID, sealed: bytes | None) -> str | None:
        """The text of an envelope."""
        value = self.unseal(table, column, row, sealed)
        return None if value is None else str(value)

    def _place(self, table: str, column: str, row: UUID) -> bytes:
        return envelope.place(table, column, row) + self.owner_id.bytes


class Vault:
    """Wraps and unwraps data keys with the ring's master keys."""

    def __init__(self, rings: KeyRings) -> None:
        self._rings = rings

    @property
    def ring(self) -> KeyRing:
        """The ring as it is now."""
        return self._rings.read()

    def new_person(self, owner_id: UUID) -> Person:
        """A fresh data key; keep what :meth:`wrap` makes of it."""
        return Person(owner_id=owner_id, key_id=envelope.new_key_id(), key=envelope.new_key())

    def wrap(self, person: Person) -> bytes:
        """The data key, wrapped by the newest master key."""
        master = self.ring.newest
        return envelope.seal(master.key, master.id, person.key_id + person.key, _wrapping(person.owner_id))

    def person(self, owner_id: UUID, wrapped: bytes | None) -> Person:
        """Open a person. PersonalDataError where they were erased or the ring lacks the key."""
        if wrapped is None:
            raise PersonalDataError(
                f"the data of owner {owner_id} cannot be opened: their key is gone, as after an erasure,"
                " or not made yet (run: wearcast db migrate)"
            )
        key_id = envelope.key_id_of(wrapped)
        master = self.ring.key(key_id)
        if master is None:
            raise PersonalDataError(
                f"the key ring lacks master key {key_id.hex()}; set WEARCAST_PERSONAL_KEY_FILE to the ring that has it"
            )
        plain = envelope.unseal(master.key, wrapped, _wrapping(owner_id))
        return Person(owner_id=owner_id, key_id=plain[: envelope.KEY_ID_BYTES], key=plain[envelope.KEY_ID_BYTES :])

    def index(self, kind: str, value: str) -> bytes:
        """A keyed hash by which equal values are found without being readable (a blind index)."""
        return hmac.digest(self.ring.index_key, _INDEX_PURPOSE + f"{kind}\0{value}".encode(), "sha256")


def _wrapping(owner_id: UUID) -> bytes:
    return envelope.place("personal_key", "wrapped", owner_id)


class _InUse:
    """The process's vault: set once by whoever starts the process."""

    source: Callable[[], KeyRings] | None = None
    vault: Vault | None = None


def use_keys(source: Callable[[], KeyRings] | None) -> None:
    """Say where this process finds its key ring; None forgets it. Nothing is read yet."""
    _InUse.source, _InUse.vault = source, None


@contextmanager
def using_keys(source: Callable[[], KeyRings]) -> Iterator[None]:
    """Other keys for the time of the block, as a program has that runs an installation within itself."""
    before = _InUse.source, _InUse.vault
    use_keys(source)
    try:
        yield
    finally:
        _InUse.source, _InUse.vault = before


def the_vault() -> Vault:
    """The process's vault. PersonalDataError where nobody has said where its keys are."""
    if _InUse.vault is None:
        if _InUse.source is None:
            raise PersonalDataError(
                "this process has no keys to personal data: the `wearcast` command opens those of"
                " WEARCAST_PERSONAL_KEY_FILE, a program of your own calls ingest.personal.vault.use_keys first"
            )
        _InUse.vault = Vault(_InUse.source())
    return _InUse.vault
