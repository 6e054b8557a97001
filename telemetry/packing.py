"""Columns of integers <-> bytes: first value, then differences in the narrowest width that holds them all."""

import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise

# array type codes of exactly 1, 2, 4 and 8 bytes on every platform CPython runs on
_TYPECODES = {1: "b", 2: "h", 4: "i", 8: "q"}
_LIMITS = ((1, 1 << 7), (2, 1 << 15), (4, 1 << 31), (8, 1 << 63))

Packed = tuple[int, int, bytes]  # first value, bytes per difference, differences (little endian, signed)


def pack(values: Sequence[int]) -> Packed:
    """Packed form of at least one integer; OverflowError beyond 64 bits."""
    deltas = [after - before for before, after in pairwise(values)]
    low, high = (min(deltas), max(deltas)) if deltas else (0, 0)
    for width, limit in _LIMITS:
        if -limit <= low and high < limit:
            column = array(_TYPECODES[width], deltas)
            if sys.byteorder == "big":
                column.byteswap()
            return values[0], width, column.tobytes()
    raise OverflowError("differences do not fit 64 bits")


def unpack(packed: Packed, count: int) -> list[int]:
    """The ``count`` integers of a packed column; ValueError where the bytes are not exactly as many."""
    first, width, raw = packed
    if width not in _TYPECODES:
        raise ValueError(f"a difference of {width} bytes does not exist")
    if count < 1 or len(raw) != (count - 1) * width:
        raise ValueError(f"{len(raw)} bytes are not {count - 1} differences of {width} bytes")
    column = array(_TYPECODES[width])
    column.frombytes(raw)
    if sys.byteorder == "big":
        column.byteswap()
    return list(accumulate(column, initial=first))


def pack_presence(present: Sequence[bool]) -> bytes | None:
    """Bitmap (first row = lowest bit of the first byte), or None where every row is there."""
    if all(present):
        return None
    bits = sum(1 << row for row, there in enumerate(present) if there)
    return bits.to_bytes((len(present) + 7) // 8, "little")


def unpack_presence(raw: bytes | None, count: int) -> list[int]:
    """Row numbers that are there; ValueError for a bitmap of another length."""
    if raw is None:
        return list(range(count))
    if len(raw) != (count + 7) // 8:
        raise ValueError(f"a bitmap of {len(raw)} bytes is not one of {count} rows")
    bits = int.from_bytes(raw, "little")
    if bits >> count:
        raise ValueError("the bitmap names rows that do not exist")
    return [row for row in range(count) if bits >> row & 1]
