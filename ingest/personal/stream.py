"""A file sealed piece by piece, so that a backup of any size needs no more memory than one piece.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizar: Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance, CRYPTO 2015) over AES-256-GCM: the nonce of a piece is a prefix, its number, and whether it is the
last. Pieces cannot be swapped, left out or cut off at the end. Each file has a key of its own, wrapped by a master key.
"""

import secrets
from collections.abc import Iterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ingest.errors import PersonalDataError
from ingest.personal import envelope
from ingest.personal.keyring import KeyRing

PIECE_BYTES: Final = 1024 * 1024
_MAGIC: Final = b"wearcast.sealed/1\n"
_PREFIX_BYTES: Final = 7
_TAG_BYTES: Final = 16
_WRAPPED_BYTES: Final = 1 + envelope.KEY_ID_BYTES + 12 + envelope.KEY_BYTES + _TAG_BYTES
_MOST_PIECES: Final = 2**32


def seal_stream(source: BinaryIO, target: BinaryIO, ring: KeyRing) -> int:
    """Seal all of the source with the ring's newest key; bytes read."""
    key, prefix = envelope.new_key(), secrets.token_bytes(_PREFIX_BYTES)
    wrapped = envelope.seal(ring.newest.key, ring.newest.id, key, _MAGIC + prefix)
    target.write(_MAGIC + prefix + wrapped)
    total = 0
    cipher = AESGCM(key)
    piece = _whole_piece(source, PIECE_BYTES)
    for number in range(_MOST_PIECES):
        following = _whole_piece(source, PIECE_BYTES)
        target.write(cipher.encrypt(_nonce(prefix, number, last=not following), piece, None))
        total += len(piece)
        if not following:
            return total
        piece = following
    raise PersonalDataError("a file of more than 4 PiB cannot be sealed; split it")


def unseal_stream(source: BinaryIO, target: BinaryIO, ring: KeyRing) -> int:
    """Open a sealed file; bytes written. Where it raises PersonalDataError, use nothing of what was written."""
    total = 0
    for piece in _pieces(source, ring):
        target.write(piece)
        total += len(piece)
    return total


def master_key_id(source: BinaryIO) -> bytes:
    """Id of the master key that a sealed file needs; leaves the source after its header."""
    return envelope.key_id_of(_header(source)[1])


def _pieces(source: BinaryIO, ring: KeyRing) -> Iterator[bytes]:
    prefix, wrapped = _header(source)
    master = ring.key(envelope.key_id_of(wrapped))
    if master is None:
        raise PersonalDataError(
            f"the key ring lacks master key {envelope.key_id_of(wrapped).hex()}, with which this file is sealed"
        )
    cipher = AESGCM(envelope.unseal(master.key, wrapped, _MAGIC + prefix))
    sealed = _whole_piece(source, PIECE_BYTES + _TAG_BYTES)
    for number in range(_MOST_PIECES):
        following = _whole_piece(source, PIECE_BYTES + _TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(prefix, number, last=not following), sealed, None)
        except InvalidTag:
            raise PersonalDataError("the sealed file is damaged or cut off; take another backup") from None
        if not following:
            return
        sealed = following


def _header(source: BinaryIO) -> tuple[bytes, bytes]:
    head = source.read(len(_MAGIC) + _PREFIX_BYTES + _WRAPPED_BYTES)
    if not head.startswith(_MAGIC) or len(head) < len(_MAGIC) + _PREFIX_BYTES + _WRAPPED_BYTES:
        raise PersonalDataError("this is no file that `wearcast db backup` has written")
    return head[len(_MAGIC) :][:_PREFIX_BYTES], head[-_WRAPPED_BYTES:]


def _whole_piece(source: BinaryIO, size: int) -> bytes:
    """As many bytes as asked for unless the source ends: a pipe gives them in parts."""
    parts: list[bytes] = []
    missing = size
    while missing and (part := source.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])
