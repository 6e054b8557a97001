"""Both forms of the wire: what goes in comes out, and nothing else gets in."""

import math
import struct
import zlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry import compact, wire
from telemetry.catalogue import catalogue
from telemetry.errors import WireError
from telemetry.packing import pack
from telemetry.records import BatchKey, Estimate, Quantity, ReadingsBatch, Sample
from telemetry.topics import DeviceTopic

DEVICE = "wc-test"
READINGS = DeviceTopic(device=DEVICE, channel="readings")
SIGNALS = tuple(catalogue())
START = datetime(2026, 1, 1, tzinfo=UTC)


@st.composite
def batches(draw: st.DrawFn) -> ReadingsBatch:
    rows = draw(st.integers(1, 12))
    signals = draw(st.lists(st.sampled_from(SIGNALS), min_size=1, max_size=5, unique=True))
    samples = []
    moment = START
    boot_ms = draw(st.integers(0, 2**40))
    for _ in range(rows):
        moment += timedelta(milliseconds=draw(st.integers(-5_000, 10**9)))
        boot_ms += draw(st.integers(0, 10_000))
        values = {}
        for signal in signals:
            if draw(st.booleans()):
                step = float(signal.resolutions[0])
                on_grid = st.integers(math.ceil(signal.minimum / step), math.floor(signal.maximum / step)).map(
                    lambda count, step=signal.resolutions[0]: count * step.numerator / step.denominator  # type: ignore[misc]  # default binds the loop's step
                )
                anything = st.floats(signal.minimum, signal.maximum)
                values[signal.path] = draw(on_grid if draw(st.booleans()) else anything)
        samples.append(Sample(time=moment, monotonic_ms=boot_ms, values=values))
    key = BatchKey(device=DEVICE, boot=draw(st.uuids()), sequence=draw(st.integers(1, 2**40)))
    return ReadingsBatch(key=key, samples=tuple(samples))


@given(batches())
def test_compact_form_keeps_every_value_within_a_hundredth_of_a_sensor_step(batch: ReadingsBatch) -> None:
    decoded = wire.decode_message(READINGS, wire.encode_readings(batch))
    assert isinstance(decoded, ReadingsBatch)
    assert decoded.key == batch.key
    assert len(decoded.samples) == len(batch.samples)
    for before, after in zip(batch.samples, decoded.samples, strict=True):
        assert (after.time, after.monotonic_ms) == (before.time, before.monotonic_ms)
        assert after.values.keys() == before.values.keys()
        for path, value in before.values.items():
            step = max(float(resolution) for resolution in catalogue().by_path(path).resolutions)
            assert abs(after.values[path] - value) <= step / 100 + 5e-7


@given(batches())
def test_json_form_keeps_every_value_exactly(batch: ReadingsBatch) -> None:
    assert wire.decode_message(READINGS, wire.encode_readings(batch, "json")) == batch


@given(batches(), st.data())
def test_damaged_bytes_raise_wire_error_or_decode_but_never_anything_else(
    batch: ReadingsBatch, data: st.DataObject
) -> None:
    payload = bytearray(compact.encode(batch, compact.STORED))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    reason = reason_of(bytes(payload[:cut]))
    assert reason is None or reason in wire.REJECT_REASONS


def reason_of(payload: bytes) -> str | None:
    try:
        wire.decode_message(READINGS, payload)
    except WireError as error:
        return error.reason
    return None


def one(value: float, path: str = "Vehicle.Speed") -> ReadingsBatch:
    sample = Sample(time=START, monotonic_ms=1, values={path: value})
    return ReadingsBatch(key=BatchKey(device=DEVICE, boot=UUID(int=5), sequence=3), samples=(sample,))


def test_value_off_every_grid_stays_exact() -> None:
    decoded = wire.decode_message(READINGS, wire.encode_readings(one(33.3333333)))
    assert isinstance(decoded, ReadingsBatch)
    assert decoded.samples[0].values["Vehicle.Speed"] == 33.3333333


@pytest.mark.parametrize("form", ["compact", "json"])
def test_estimate_survives(form: wire.Form) -> None:
    estimate = Estimate(
        time=START,
        quantity=Quantity.OIL_LIFE,
        value=41.25,
        low=38.0,
        high=45.5,
        source="ecu",
        method="ecu",
    )
    batch = ReadingsBatch(key=BatchKey(device=DEVICE, boot=UUID(int=5), sequence=3), samples=(), estimates=(estimate,))
    assert wire.decode_message(READINGS, wire.encode_readings(batch, form)) == batch


def test_encoder_refuses_what_the_decoder_would_reject() -> None:
    with pytest.raises(ValueError, match="outside"):
        wire.encode_readings(one(900.0))


def rejected(payload: bytes, topic: DeviceTopic = READINGS) -> WireError:
    with pytest.raises(WireError) as caught:
        wire.decode_message(topic, payload)
    return caught.value


def json_readings(samples: str, **extra: str) -> bytes:
    fields = {"schema": '"wearcast.readings/1"', "boot": f'"{UUID(int=5)}"', "sequence": "3", **extra}
    return ("{" + ",".join(f'"{key}":{value}' for key, value in fields.items()) + f',"samples":{samples}}}').encode()


def test_reasons_of_rejection() -> None:
    good = '[{"time":"2026-01-01T00:00:00Z","values":{"Vehicle.Speed":1}}]'
    assert reason_of(json_readings(good)) is None
    assert rejected(b"\xff\x00").reason == "malformed"
    assert rejected(json_readings("[]")).reason == "malformed"
    assert rejected(json_readings(good.replace("Z", ""))).reason == "malformed"
    assert rejected(json_readings(good, schema='"wearcast.readings/9"')).reason == "wrong-schema"
    assert rejected(b"WC\x09\x00").reason == "wrong-schema"
    assert rejected(json_readings(good, device='"another"')).reason == "wrong-device"
    assert rejected(json_readings(good.replace("Speed", "Sped"))).reason == "unknown-signal"
    assert rejected(json_readings(good.replace(":1}", ":1e9}"))).reason == "out-of-range"
    assert rejected(b" " * (wire.MAX_PAYLOAD_BYTES + 1)).reason == "oversized"


def test_rejection_knows_the_batch_it_could_read() -> None:
    error = rejected(json_readings('[{"time":"2026-01-01T00:00:00Z","values":{"Vehicle.Sped":1}}]'))
    assert error.key == BatchKey(device=DEVICE, boot=UUID(int=5), sequence=3)


def test_body_that_inflates_without_end_is_refused_while_inflating() -> None:
    deflater = zlib.compressobj(9, wbits=-15)
    bomb = deflater.compress(b"\0" * (compact.MAX_BODY_BYTES + 10)) + deflater.flush()
    assert rejected(b"WC\x01\x01" + bomb).reason == "oversized"


def test_a_batch_of_more_estimates_than_samples_may_be_is_refused_on_both_sides() -> None:
    """They deflate to nothing: 19 kilobytes held 400,000, which took a worker 6 seconds and 140 MB."""
    key = BatchKey(device=DEVICE, boot=UUID(int=5), sequence=3)
    good = Estimate(time=START, quantity=Quantity.OIL_LIFE, value=50, low=40, high=60, source="ecu", method="ecu")
    body = compact._body(ReadingsBatch(key=key, samples=(), estimates=(good,)))
    many = msgspec.structs.replace(body, estimates=body.estimates * (compact.MAX_ROWS + 1))
    assert rejected(b"WC\x01\x00" + compact._encoder.encode(many)).reason == "oversized"
    with pytest.raises(ValueError, match="10001 estimates"):
        compact.encode(ReadingsBatch(key=key, samples=(), estimates=(good,) * (compact.MAX_ROWS + 1)))


def test_nesting_beyond_pythons_depth_is_malformed_and_no_error() -> None:
    payload = compact.encode(one(50.0), compact.STORED)
    fields = payload[4]
    assert 0x90 <= fields < 0x9F  # an array of a few fields; what follows the last one is skipped when read
    deep = b"\x91" * 200_000 + b"\xc0"
    assert rejected(payload[:4] + bytes([fields + 1]) + payload[5:] + deep).reason == "malformed"


@pytest.mark.parametrize(("depth", "reason"), [(14, None), (15, "malformed"), (500, "malformed")])
def test_data_of_an_event_may_be_nested_so_deep(depth: int, reason: str | None) -> None:
    nest = "[" * depth + "]" * depth
    event = f'{{"time": "2026-01-01T00:00:00Z", "kind": "trip.started", "data": {{"a": [{nest}]}}}}'
    payload = f'{{"schema": "wearcast.events/1", "boot": "{UUID(int=5)}", "sequence": 3, "events": [{event}]}}'
    try:
        wire.decode_message(DeviceTopic(device=DEVICE, channel="events"), payload.encode())
    except WireError as error:
        found: str | None = error.reason
    else:
        found = None
    assert found == reason


def estimated(**fields: object) -> bytes:
    """An estimate in the compact form, as no encoder of ours would write it."""
    key = BatchKey(device=DEVICE, boot=UUID(int=5), sequence=3)
    good = Estimate(time=START, quantity=Quantity.OIL_LIFE, value=50, low=40, high=60, source="ecu", method="ecu")
    body = compact._body(ReadingsBatch(key=key, samples=(), estimates=(good,)))
    entry = msgspec.structs.replace(body.estimates[0], **fields)
    return b"WC\x01\x00" + compact._encoder.encode(msgspec.structs.replace(body, estimates=[entry]))


@pytest.mark.parametrize(
    "fields", [{"high": math.inf}, {"low": -math.inf}, {"value": 1e300, "high": 1e301}, {"low": -2e6}]
)
def test_an_estimate_beyond_all_measure_is_out_of_range(fields: dict[str, float]) -> None:
    assert rejected(estimated(**fields)).reason == "out-of-range"


def test_an_estimate_with_endless_text_is_malformed() -> None:
    assert rejected(estimated(position="x" * 101)).reason == "malformed"
    assert rejected(estimated(method="x" * 101)).reason == "malformed"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e9, -0.5])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_impossible_value_among_good_ones_rejects_the_batch(bad: float, place: int) -> None:
    batch = ReadingsBatch(
        key=BatchKey(device=DEVICE, boot=UUID(int=5), sequence=3),
        samples=tuple(Sample(time=START, monotonic_ms=0, values={"Vehicle.Speed": 1.0 / 3}) for _ in range(3)),
    )
    body = compact._body(batch)
    (raw,) = body.raw_columns
    floats = list(struct.unpack("<3d", raw.floats))
    floats[place] = bad
    column = msgspec.structs.replace(raw, floats=struct.pack("<3d", *floats))
    error = rejected(b"WC\x01\x00" + compact._encoder.encode(msgspec.structs.replace(body, raw_columns=[column])))
    assert error.reason == "out-of-range"
    assert error.key == batch.key
    assert str(bad) in str(error)


@pytest.mark.parametrize("integers", [[0, 5, -1], [30_000, 2, 0]])
def test_an_impossible_integer_column_is_out_of_range(integers: list[int]) -> None:
    body = compact._body(
        ReadingsBatch(
            key=BatchKey(device=DEVICE, boot=UUID(int=5), sequence=3),
            samples=tuple(Sample(time=START, monotonic_ms=0, values={"Vehicle.Speed": 7.0}) for _ in range(3)),
        )
    )
    column = msgspec.structs.replace(body.columns[0], integers=pack(integers))
    payload = b"WC\x01\x00" + compact._encoder.encode(msgspec.structs.replace(body, columns=[column]))
    assert rejected(payload).reason == "out-of-range"
