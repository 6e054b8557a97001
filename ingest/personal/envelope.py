"""The envelope around one encrypted value: version, key id, nonce, ciphertext with its tag. Pure but for the nonce.

AES-256-GCM (NIST SP 800-38D) with random nonces of 96 bits: a key may encrypt 2**32 values before two nonces are likely
to meet (section 8.3). A person's key encrypts some tens, a master key one per person. What a value belongs to is bound
to it as additional data: an envelope copied to another row, column or person does not open.
"""

import secrets
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ingest.errors import PersonalDataError

KEY_BYTES: Final = 32  # AES-256
KEY_ID_BYTES: Final = 8
_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_HEADER: Final = 1 + KEY_ID_BYTES + _NONCE_BYTES


def new_key() -> bytes:
    """A random key."""
    return secrets.token_bytes(KEY_BYTES)


def new_key_id() -> bytes:
    """A random name for a key."""
    return secrets.token_bytes(KEY_ID_BYTES)


def place(table: str, column: str, row: UUID) -> bytes:
    """What a value belongs to, as additional data. Names have no NUL, so two places never read alike."""
    return b"\0".join((b"wearcast.personal", table.encode(), column.encode(), row.bytes))


def seal(key: bytes, key_id: bytes, plain: bytes, belongs_to: bytes) -> bytes:
    """The envelope of a value; another one each time."""
    if len(key_id) != KEY_ID_BYTES:
        raise ValueError(f"a key id has {KEY_ID_BYTES} bytes, not {len(key_id)}")
    nonce = secrets.token_bytes(_NONCE_BYTES)
    head = _VERSION + key_id + nonce
    return head + AESGCM(key).encrypt(nonce, plain, head + belongs_to)


def key_id_of(envelope: bytes) -> bytes:
    """Id of the key that opens an envelope. PersonalDataError where it is none of ours."""
    if len(envelope) < _HEADER + _TAG_BYTES or envelope[:1] != _VERSION:
        raise PersonalDataError(
            "a sealed value is damaged or was written by a later version; restore it from a backup, or update"
        )
    return envelope[1 : 1 + KEY_ID_BYTES]


def unseal(key: bytes, envelope: bytes, belongs_to: bytes) -> bytes:
    """The value of an envelope. PersonalDataError where key, place or content is not what was sealed."""
    key_id_of(envelope)
    head, sealed = envelope[:_HEADER], envelope[_HEADER:]
    try:
        return AESGCM(key).decrypt(head[-_NONCE_BYTES:], sealed, head + belongs_to)
    except InvalidTag:
        raise PersonalDataError(
            "a sealed value does not open: it was altered, moved from another row, or sealed with another key;"
            " restore the row from a backup"
        ) from None
