"""The compact form of readings: what a dongle sends.

Layout (all numbers of the header are single bytes)::

    0   "W"
    1   "C"
    2   version, 1
    3   compression of the body: 0 none, 1 raw deflate (RFC 1951)
    4…  body: MessagePack array of
          boot (16 bytes), sequence, time of the first row (ms since 1970 UTC), CLOCK_BOOTTIME of it (ms), rows,
          times (packed), boot times (packed, nil where they run with the times),
          columns [signal code, numerator, denominator, presence bitmap or nil, packed integers],
          raw columns [signal code, presence bitmap or nil, 64-bit little-endian floats],
          estimates [ms after the first row, quantity, position, value, low, high, 1 if from the ECU, method,
                     measurements or nil, limited by]: the last two are missing from what earlier versions sent

A value is integer * numerator / denominator in the catalogue's unit. The device is the topic's, not the payload's.
"""

import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Final
from uuid import UUID

import msgspec

from telemetry.catalogue import Signal, catalogue
from telemetry.errors import WireError
from telemetry.limits import MAX_TEXT, check_column
from telemetry.packing import Packed, pack, pack_presence, unpack, unpack_presence
from telemetry.records import (
    MAX_MEASUREMENTS,
    BatchKey,
    Estimate,
    Quantity,
    ReadingsBatch,
    Sample,
    ms_from_utc,
    utc_from_ms,
)

MAGIC: Final = b"WC"
VERSION: Final = 1
STORED: Final = 0
DEFLATED: Final = 1
MAX_ROWS: Final = 10_000  # samples of a batch; also its estimates, which take more memory than they do bytes
MAX_BODY_BYTES: Final = 8 * 1024 * 1024  # a body that inflates beyond this is refused while inflating

# A value counts as being on a sensor's grid within a hundredth of a step, or within the rounding of a recording
# written with six decimals. Otherwise the column is sent as floats and stays exact.
_STEP_SHARE = 0.01
_PRINT_ROUNDING = 5e-7


class Column(msgspec.Struct, array_like=True, frozen=True):
    """Values of a signal as integers, each times ``numerator`` / ``denominator``, in the rows of ``presence``."""

    code: int
    numerator: int
    denominator: int
    presence: bytes | None
    integers: Packed


class RawColumn(msgspec.Struct, array_like=True, frozen=True):
    """Values of a signal that lie on no grid, as 64-bit floats."""

    code: int
    presence: bytes | None
    floats: bytes


_ShortText = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


_Measurements = Annotated[int, msgspec.Meta(ge=0, le=MAX_MEASUREMENTS)]


class _Estimate(msgspec.Struct, array_like=True, frozen=True):
    after_ms: int
    quantity: Quantity
    position: _ShortText
    value: float
    low: float
    high: float
    from_ecu: bool
    method: _ShortText
    measurements: _Measurements | None = None
    limited_by: _ShortText = ""


class Body(msgspec.Struct, array_like=True, frozen=True):
    """A batch as it lies on the wire: types are checked, nothing else is (see :func:`batch_of` for what must hold)."""

    boot: bytes
    sequence: int
    time_ms: int
    monotonic_ms: int
    rows: int
    times: Packed | None
    monotonic: Packed | None
    columns: list[Column]
    raw_columns: list[RawColumn]
    estimates: list[_Estimate]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Body)


def is_compact(payload: bytes) -> bool:
    """Whether the payload begins as this form does."""
    return payload[:2] == MAGIC


def encode(batch: ReadingsBatch, compression: int = DEFLATED) -> bytes:
    """Bytes of a batch; ValueError where it is empty or has more than MAX_ROWS samples or estimates."""
    body = _encoder.encode(_body(batch))
    if compression == DEFLATED:
        deflater = zlib.compressobj(level=9, wbits=-15)
        body = deflater.compress(body) + deflater.flush()
    return MAGIC + bytes((VERSION, compression)) + body


def decode(device: str, payload: bytes) -> ReadingsBatch:
    """Batch of bytes that begin with the magic; WireError malformed, oversized or wrong-schema."""
    return batch_of(*read(device, payload))


def read(device: str, payload: bytes) -> tuple[BatchKey, Body]:
    """Key and body of bytes that begin with the magic, columns still packed; WireError as :func:`decode`."""
    if len(payload) < 4 or payload[2] != VERSION:
        raise WireError(
            "wrong-schema",
            f"compact readings of version {payload[2:3].hex() or 'none'}; this code speaks {VERSION}",
        )
    try:
        body = _decoder.decode(_inflate(payload[3], payload[4:]))
        key = BatchKey(device=device, boot=UUID(bytes=body.boot), sequence=body.sequence)
    except (msgspec.DecodeError, ValueError, zlib.error, RecursionError) as error:  # nested deeper than Python goes
        raise WireError("malformed", f"compact readings cannot be read: {error}") from error
    if body.rows > MAX_ROWS:
        raise WireError("oversized", f"batch {key} claims {body.rows} samples, more than {MAX_ROWS}", key)
    if len(body.estimates) > MAX_ROWS:
        raise WireError("oversized", f"batch {key} has {len(body.estimates)} estimates, more than {MAX_ROWS}", key)
    return key, body


def batch_of(key: BatchKey, body: Body) -> ReadingsBatch:
    """Batch of a body; WireError malformed, unknown-signal or out-of-range."""
    try:
        return _batch(key, body)
    except (ValueError, OverflowError, struct.error) as error:
        raise WireError("malformed", f"batch {key}: {error}", key) from error


def _inflate(compression: int, raw: bytes) -> bytes:
    if compression == STORED:
        return raw
    if compression != DEFLATED:
        raise ValueError(f"compression {compression} is not known")
    inflater = zlib.decompressobj(wbits=-15)
    body = inflater.decompress(raw, MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise WireError("oversized", f"the body inflates to more than {MAX_BODY_BYTES} bytes")
    if not inflater.eof:
        raise ValueError("the deflated body ends early")
    return body


def _body(batch: ReadingsBatch) -> Body:
    samples = batch.samples
    if not samples and not batch.estimates:
        raise ValueError(f"batch {batch.key} has neither samples nor estimates")
    if len(samples) > MAX_ROWS:
        raise ValueError(f"batch {batch.key} has {len(samples)} samples, more than {MAX_ROWS}; split it")
    if len(batch.estimates) > MAX_ROWS:
        raise ValueError(f"batch {batch.key} has {len(batch.estimates)} estimates, more than {MAX_ROWS}; split it")
    times = [ms_from_utc(sample.time) for sample in samples]
    boot_times = [sample.monotonic_ms for sample in samples]
    start = times[0] if times else ms_from_utc(batch.estimates[0].time)
    runs_along = all(boot - wall == boot_times[0] - start for boot, wall in zip(boot_times, times, strict=True))
    columns: list[Column] = []
    raw_columns: list[RawColumn] = []
    for path in sorted(
        {path for sample in samples for path in sample.values},
        key=lambda path: catalogue().by_path(path).code,
    ):
        signal = catalogue().by_path(path)
        presence = pack_presence([path in sample.values for sample in samples])
        values = [float(sample.values[path]) for sample in samples if path in sample.values]
        fitted = _fit(signal, values)
        if fitted is None:
            raw_columns.append(RawColumn(signal.code, presence, struct.pack(f"<{len(values)}d", *values)))
        else:
            step, integers = fitted
            columns.append(Column(signal.code, step.numerator, step.denominator, presence, pack(integers)))
    return Body(
        boot=batch.key.boot.bytes,
        sequence=batch.key.sequence,
        time_ms=start,
        monotonic_ms=boot_times[0] if boot_times else 0,
        rows=len(samples),
        times=pack(times) if times else None,
        monotonic=None if runs_along else pack(boot_times),
        columns=columns,
        raw_columns=raw_columns,
        estimates=[
            _Estimate(
                ms_from_utc(estimate.time) - start,
                estimate.quantity,
                estimate.position,
                estimate.value,
                estimate.low,
                estimate.high,
                estimate.source == "ecu",
                estimate.method,
                estimate.measurements,
                estimate.limited_by,
            )
            for estimate in batch.estimates
        ],
    )


def _fit(signal: Signal, values: list[float]) -> tuple[Fraction, list[int]] | None:
    for value in values:
        if not signal.accepts(value):
            raise ValueError(
                f"{signal.path} = {value} is outside [{signal.minimum}, {signal.maximum}] {signal.unit.key}"
            )
    for step in signal.resolutions:
        numerator, denominator = step.numerator, step.denominator
        tolerance = _STEP_SHARE * numerator / denominator + _PRINT_ROUNDING
        integers = [round(value * denominator / numerator) for value in values]
        if all(
            abs(integer * numerator / denominator - value) <= tolerance
            and signal.accepts(integer * numerator / denominator)
            for integer, value in zip(integers, values, strict=True)
        ):
            return step, integers
    return None


def _batch(key: BatchKey, body: Body) -> ReadingsBatch:
    if key.sequence < 1:
        raise ValueError("sequence numbers start at 1")
    if body.rows < 0 or (body.rows == 0) != (body.times is None) or (body.rows == 0 and not body.estimates):
        raise ValueError("the number of rows does not fit the columns")
    times = unpack(body.times, body.rows) if body.times is not None else []
    if times and times[0] != body.time_ms:
        raise ValueError("the first row is not at the batch's time")
    if body.monotonic is not None:
        boot_times = unpack(body.monotonic, body.rows)
    else:
        boot_times = [body.monotonic_ms + time - body.time_ms for time in times]
    rows: list[dict[str, float]] = [{} for _ in times]
    for column in body.columns:
        signal = _signal(key, column.code)
        if column.numerator < 1 or column.denominator < 1:
            raise ValueError(f"{signal.path}: a step of {column.numerator}/{column.denominator}")
        present = _present(rows, column.presence)
        integers = unpack(column.integers, len(present))
        numerator, denominator = column.numerator, column.denominator
        _fill(key, signal, present, [integer * numerator / denominator for integer in integers])
    for raw in body.raw_columns:
        present = _present(rows, raw.presence)
        _fill(key, _signal(key, raw.code), present, struct.unpack(f"<{len(present)}d", raw.floats))
    return ReadingsBatch(
        key=key,
        samples=tuple(
            Sample(time=utc_from_ms(time), monotonic_ms=boot_time, values=values)
            for time, boot_time, values in zip(times, boot_times, rows, strict=True)
        ),
        estimates=estimates_of(body),
    )


def estimates_of(body: Body) -> tuple[Estimate, ...]:
    """Estimates of a body; ValueError where one contradicts itself or its time is outside the calendar."""
    return tuple(
        Estimate(
            time=utc_from_ms(body.time_ms + entry.after_ms),
            quantity=entry.quantity,
            position=entry.position,
            value=entry.value,
            low=entry.low,
            high=entry.high,
            source="ecu" if entry.from_ecu else "estimated",
            method=entry.method,
            measurements=entry.measurements,
            limited_by=entry.limited_by,
        )
        for entry in body.estimates
    )


def _present(rows: Sequence[dict[str, float]], presence: bytes | None) -> Sequence[dict[str, float]]:
    return rows if presence is None else [rows[row] for row in unpack_presence(presence, len(rows))]


def _fill(key: BatchKey, signal: Signal, rows: Sequence[dict[str, float]], values: Sequence[float]) -> None:
    check_column(key, signal, values)
    path = signal.path
    for row, value in zip(rows, values, strict=True):
        row[path] = value


def _signal(key: BatchKey, code: int) -> Signal:
    signal = catalogue().by_code(code)
    if signal is None:
        raise WireError(
            "unknown-signal",
            f"batch {key}: signal code {code} is not in the catalogue; update this side",
            key,
        )
    return signal
