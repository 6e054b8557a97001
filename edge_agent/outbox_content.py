"""What is in the outbox's rows: samples and batches as bytes, and how a batch changes before it is published. Pure.

Until a batch is published it has no key: it lies in the compact form under a placeholder, and may be put right in
time, thinned and joined with its neighbour. From its first publication on its bytes stay as they are, because the
backend may have taken them. WireError where stored bytes are not what was stored.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec

from telemetry.catalogue import catalogue
from telemetry.records import BatchKey, Estimate, EventsBatch, ReadingsBatch, Sample, VehicleEvent
from telemetry.topics import DeviceTopic
from telemetry.wire import Form, decode_message, encode_events, encode_readings

BatchChannel = Literal["readings", "events"]

_NO_BOOT: Final = UUID(int=0)
_TIMES_IN_DATA: Final = ("started",)  # of a trip's end: the only time within an event's data
_values = msgspec.msgpack.Decoder(dict[int, float])


def checksum(content: object) -> int:
    """CRC-32: finds the flipped bit and the torn page that SQLite does not see inside a row; -1 of what is no bytes."""
    return zlib.crc32(content) if isinstance(content, bytes) else -1


def pack_values(values: Mapping[str, float]) -> bytes:
    """Values of a sample by the catalogue's codes, a quarter of what paths would take; unknown paths are left out."""
    known = catalogue()
    return msgspec.msgpack.encode({known.by_path(path).code: value for path, value in values.items() if path in known})


def unpack_values(content: bytes) -> tuple[dict[str, float], list[str]]:
    """The values by path, and what this version's catalogue refuses: an update must not stop the agent."""
    values: dict[str, float] = {}
    refused: list[str] = []
    for code, value in _values.decode(content).items():
        signal = catalogue().by_code(code)
        if signal is None:
            refused.append(f"signal code {code}")
        elif not signal.accepts(value):
            refused.append(signal.path)
        else:
            values[signal.path] = value
    return values, refused


def pack_readings(device: str, samples: Sequence[Sample], estimates: Sequence[Estimate]) -> bytes:
    """A batch of readings that has no key yet."""
    return encode_readings(ReadingsBatch(key=_no_key(device), samples=tuple(samples), estimates=tuple(estimates)))


def pack_events(device: str, events: Sequence[VehicleEvent]) -> bytes:
    """A batch of events that has no key yet."""
    return encode_events(EventsBatch(key=_no_key(device), events=tuple(events)))


def unpack(device: str, channel: BatchChannel, content: bytes) -> ReadingsBatch | EventsBatch:
    """The batch, with its key or the placeholder."""
    message = decode_message(DeviceTopic(device=device, channel=channel), content)
    assert isinstance(message, ReadingsBatch | EventsBatch)
    return message


def numbered(key: BatchKey, channel: BatchChannel, content: bytes, form: Form) -> bytes:
    """The batch as it is published: under its key, readings in the form wanted."""
    batch = unpack(key.device, channel, content)
    if isinstance(batch, ReadingsBatch):
        return encode_readings(replace(batch, key=key), form)
    return encode_events(replace(batch, key=key))


def shifted(device: str, channel: BatchChannel, content: bytes, by_ms: int, form: Form) -> bytes:
    """The batch with all its times moved: the clock they were taken from was wrong by so much."""
    by = timedelta(milliseconds=by_ms)
    batch = unpack(device, channel, content)
    if isinstance(batch, EventsBatch):
        return encode_events(replace(batch, events=tuple(_moved(event, by) for event in batch.events)))
    return encode_readings(
        replace(
            batch,
            samples=tuple(replace(sample, time=sample.time + by) for sample in batch.samples),
            estimates=tuple(replace(estimate, time=estimate.time + by) for estimate in batch.estimates),
        ),
        form,
    )


def thinned(device: str, contents: Iterable[bytes]) -> tuple[bytes, int]:
    """Neighbouring batches as one with every second value of each signal, and how many samples that has.

    Counted per signal, so that what is read once a minute beside what is read twice a second does not vanish by
    standing in the wrong rows: each signal keeps its first value and every second after. Estimates are kept.
    """
    batches = [unpack(device, "readings", content) for content in contents]
    samples: list[Sample] = []
    estimates: list[Estimate] = []
    for batch in batches:
        assert isinstance(batch, ReadingsBatch)
        samples += batch.samples
        estimates += batch.estimates
    kept = every_second(samples)
    return pack_readings(device, kept, estimates), len(kept)


def joined(device: str, contents: Iterable[bytes]) -> bytes:
    """Neighbouring batches as one, with all that is in them."""
    samples: list[Sample] = []
    estimates: list[Estimate] = []
    for content in contents:
        batch = unpack(device, "readings", content)
        assert isinstance(batch, ReadingsBatch)
        samples += batch.samples
        estimates += batch.estimates
    return pack_readings(device, samples, estimates)


def every_second(samples: Sequence[Sample]) -> list[Sample]:
    """Every second value of each signal, the first one always; samples without any left are gone."""
    seen: dict[str, int] = {}
    kept: list[Sample] = []
    for sample in samples:
        values: dict[str, float] = {}
        for path, value in sample.values.items():
            count = seen.get(path, 0)
            if count % 2 == 0:
                values[path] = value
            seen[path] = count + 1
        if values:
            kept.append(replace(sample, values=values))
    return kept


def _moved(event: VehicleEvent, by: timedelta) -> VehicleEvent:
    data = dict(event.data)
    for name in _TIMES_IN_DATA:
        if isinstance(moment := data.get(name), str):
            data[name] = (datetime.fromisoformat(moment) + by).isoformat()
    return replace(event, time=event.time + by, data=data)


def _no_key(device: str) -> BatchKey:
    return BatchKey(device=device, boot=_NO_BOOT, sequence=1)
