"""Payloads of compact readings, good and bad, for tests that compare the columnar path with the plain one."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st

from ingest.decoding.decode import Incoming
from telemetry import compact
from telemetry.catalogue import Signal, catalogue
from telemetry.compact import Body, Column, RawColumn
from telemetry.records import BatchKey, Estimate, Quantity, ReadingsBatch, Sample

SIGNALS = tuple(catalogue())
START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=60)
_encoder = msgspec.msgpack.Encoder()


def _value(signal: Signal) -> st.SearchStrategy[float]:
    step = signal.resolutions[0]
    lowest, highest = math.ceil(signal.minimum / step), math.floor(signal.maximum / step)
    on_grid = st.integers(lowest, highest).map(lambda count: count * step.numerator / step.denominator)
    return on_grid | st.floats(signal.minimum, signal.maximum) if signal.datatype != "boolean" else on_grid


@st.composite
def batches(draw: st.DrawFn) -> ReadingsBatch:
    """Rows with some of a few signals each; now and then estimates, and now and then a clock that jumps back."""
    signals = draw(st.lists(st.sampled_from(SIGNALS), min_size=1, max_size=4, unique=True))
    gap_ms = st.integers(0, 10_000) | st.sampled_from([10**8, 10**10]) | st.integers(-5000, 5000)
    moment, samples = START, []
    for _ in range(draw(st.integers(0, 6))):
        moment += timedelta(milliseconds=draw(gap_ms))
        values = {signal.path: draw(_value(signal)) for signal in signals if draw(st.integers(0, 3))}
        samples.append(Sample(time=moment, monotonic_ms=draw(st.integers(0, 2**40)), values=values))
    estimate = Estimate(time=moment, quantity=Quantity.OIL_LIFE, value=50, low=40, high=60, source="ecu", method="ecu")
    estimates = (estimate,) if not samples or draw(st.booleans()) else ()
    key = BatchKey(device="d1", boot=draw(st.uuids()), sequence=draw(st.integers(1, 2**40)))
    return ReadingsBatch(key=key, samples=tuple(samples), estimates=estimates)


_ANY_INTEGER = st.integers(-3, 300) | st.sampled_from([2**31, 2**53, 2**62, -(2**63), 2**63 - 1])
_PRESENCE = st.none() | st.binary(max_size=2)
_PACKED = st.tuples(_ANY_INTEGER, st.sampled_from([0, 1, 2, 3, 4, 8]), st.binary(max_size=24))


def _changed_column(column: Column) -> st.SearchStrategy[Column]:
    first, width, differences = column.integers
    return st.one_of(
        _ANY_INTEGER.map(lambda number: msgspec.structs.replace(column, numerator=number)),
        _ANY_INTEGER.map(lambda number: msgspec.structs.replace(column, denominator=number)),
        st.integers(0, 100).map(lambda code: msgspec.structs.replace(column, code=code)),
        _PRESENCE.map(lambda bits: msgspec.structs.replace(column, presence=bits)),
        _PACKED.map(lambda packed: msgspec.structs.replace(column, integers=packed)),
        _ANY_INTEGER.map(lambda number: msgspec.structs.replace(column, integers=(number, width, differences))),
        st.tuples(_ANY_INTEGER, st.integers(1, 2**60)).map(  # a huge integer in steps as small: may be a value
            lambda pair: msgspec.structs.replace(
                column, integers=(first * pair[1] % 2**63, width, differences), denominator=pair[1]
            )
        ),
    )


def _changed_raw(column: RawColumn) -> st.SearchStrategy[RawColumn]:
    floats = st.lists(st.floats(width=64), max_size=6).map(_floats)
    return st.one_of(
        floats.map(lambda raw: msgspec.structs.replace(column, floats=raw)),
        _PRESENCE.map(lambda bits: msgspec.structs.replace(column, presence=bits)),
        st.integers(0, 100).map(lambda code: msgspec.structs.replace(column, code=code)),
    )


def _floats(values: list[float]) -> bytes:
    return b"".join(msgspec.msgpack.encode(value)[:0:-1] for value in values)  # float 64, its sign byte last


@st.composite
def _changed_bodies(draw: st.DrawFn) -> Body:
    body = compact._body(draw(batches()))
    changes: dict[str, Any] = {}
    what = draw(st.sampled_from(["columns", "raw_columns", "doubled", "rows", "times", "monotonic", "sequence"]))
    if what == "columns" and body.columns:
        place = draw(st.integers(0, len(body.columns) - 1))
        changes["columns"] = list(body.columns)
        changes["columns"][place] = draw(_changed_column(body.columns[place]))
    elif what == "raw_columns" and body.raw_columns:
        changes["raw_columns"] = [draw(_changed_raw(body.raw_columns[0])), *body.raw_columns[1:]]
    elif what == "doubled":
        changes["columns"] = [*body.columns, *body.columns]
    elif what == "times":
        changes["times"] = draw(st.none() | _PACKED)
    elif what == "monotonic":
        changes["monotonic"] = draw(st.none() | _PACKED)
    else:
        changes[what if what in {"rows", "sequence"} else "rows"] = draw(st.integers(-1, 20_000))
    return msgspec.structs.replace(body, **changes)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """Good ones, ones whose fields contradict each other, and damaged ones; some compressed."""
    kind = draw(st.sampled_from(["good", "good", "changed", "changed", "damaged"]))
    if kind == "changed":
        return b"WC\x01\x00" + _encoder.encode(draw(_changed_bodies()))
    form = compact.STORED if kind == "damaged" else draw(st.sampled_from([compact.STORED, compact.DEFLATED]))
    payload = bytearray(compact.encode(draw(batches()), form))
    if kind == "damaged":
        for _ in range(draw(st.integers(1, 3))):
            payload[draw(st.integers(2, len(payload) - 1))] = draw(st.integers(0, 255))
    return bytes(payload)


def incoming(payload: bytes, device: str = "d1") -> Incoming:
    """The payload as it comes from a device."""
    return Incoming(topic=f"wearcast/v1/{device}/readings", payload=payload, received_at=NOW)
