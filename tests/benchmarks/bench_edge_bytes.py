"""Bytes on the air per value: recorded trips over a real TLS 1.3 connection, in four forms with the same batching.

A *sample* here is one value of one signal at one instant; a *row* is all values of one instant (27 in these trips).
Counted is what crosses the socket: payload, MQTT, TLS; the handshake and the acknowledgements apart. TCP/IP headers
come on top where a month's data plan is reckoned: 52 bytes a segment (IPv4, timestamps), a segment per TLS record and
one that confirms each two.

The rows lie exactly 0.5 s apart; no dongle reads so evenly, so each is moved by up to 40 ms. Values are those of the
recording, at the resolution of its sensors; what the compact form gives back is compared with them.
"""

import random
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import cbor2
import pysparkplug
import trustme
import zstandard
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.sources.replay_csv import ReplayCsvConfig, ReplayCsvSource
from edge_agent.uplink import _send_at_once
from health.registry import build_estimators
from telemetry.catalogue import catalogue
from telemetry.records import Acknowledgement, BatchKey, Estimate, ReadingsBatch, Sample, ms_from_utc
from telemetry.topics import DeviceTopic, acks_topic, publish_topic
from telemetry.wire import Form, decode_message, encode_ack, encode_readings
from tests.benchmarks.bench_row import SHARED, Row, row
from tests.benchmarks.tls_broker import Traffic, counting_broker

TRIPS: Final = SHARED / "obd_trips"
DEVICE: Final = "wc-000123"
BOOT: Final = UUID("6f1c1f0e-7d2b-4a55-9d0e-0a5b7c3d2e1f")
START: Final = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
JITTER_MS: Final = 40
DEFAULTS: Final = AgentConfig(device=DEVICE, source=SourceConfig(kind="replay_csv"), outbox_path=Path("unused"))
GOAL_BYTES: Final = 1.5  # per sample
GOAL_RATIO: Final = 10.0  # against JSON
SEGMENT_BYTES: Final = 52  # TCP/IP headers: IPv4 20, TCP 20, timestamps 12
HOURS_A_DAY: Final = 1.0  # driven
DAYS: Final = 30

Batch = Sequence[Sample]
Message = tuple[str, bytes]  # topic, payload


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One way of sending all trips."""

    samples: int
    rows: int
    messages: int
    payload: int  # bytes
    traffic: Traffic

    @property
    def per_sample(self) -> float:
        """Bytes of the publications, MQTT and TLS counted."""
        return self.traffic.publications_bytes / self.samples

    @property
    def both_ways(self) -> float:
        """The same with everything that acknowledges them, up and down."""
        return (self.traffic.up + self.traffic.down) / self.samples


def read_trips() -> list[list[Sample]]:
    """Every trip's rows, moved a little in time."""
    draw = random.Random(1)
    trips: list[list[Sample]] = []
    for path in sorted(TRIPS.glob("*.csv.gz")):
        source = ReplayCsvSource(ReplayCsvConfig(path=path, start=START))
        source.open()
        samples: list[Sample] = []
        while (reading := source.poll()) is not None:
            values = {key: value for key, value in reading.values.items() if catalogue().by_path(key).accepts(value)}
            if reading.time is not None and values:
                time = reading.time + timedelta(milliseconds=draw.randint(0, JITTER_MS))
                monotonic_ms = 60_000 + ms_from_utc(time) - ms_from_utc(START)
                samples.append(Sample(time=time, monotonic_ms=monotonic_ms, values=values))
        source.close()
        trips.append(samples)
    return trips


def batches(trips: Iterable[Sequence[Sample]], *, seconds: float, most: int) -> list[Batch]:
    """As the agent's batcher cuts them: full after so many rows, or so long after the first."""
    made: list[Batch] = []
    for trip in trips:
        batch: list[Sample] = []
        for sample in trip:
            if batch and (len(batch) >= most or (sample.time - batch[0].time).total_seconds() >= seconds):
                made.append(batch)
                batch = []
            batch.append(sample)
        if batch:
            made.append(batch)
    return made


def ours(
    form_batches: Sequence[Batch], form: Form, estimates: Sequence[tuple[Estimate, ...]] | None = None
) -> list[Message]:
    """Our compact or JSON form."""
    return [
        (
            publish_topic(DEVICE, "readings"),
            encode_readings(
                ReadingsBatch(
                    key=BatchKey(device=DEVICE, boot=BOOT, sequence=number),
                    samples=tuple(batch),
                    estimates=estimates[number - 1] if estimates else (),
                ),
                form,
            ),
        )
        for number, batch in enumerate(form_batches, start=1)
    ]


def cbor_zstd(form_batches: Sequence[Batch]) -> list[Message]:
    """One array of signal codes, then a row of values each instant, floats as short as they are exact; zstd's best."""
    squeeze = zstandard.ZstdCompressor(level=19, write_content_size=False, write_checksum=False)
    messages: list[Message] = []
    for number, batch in enumerate(form_batches, start=1):
        paths = sorted({path for sample in batch for path in sample.values})
        first = ms_from_utc(batch[0].time)
        document = {
            "b": BOOT.bytes,
            "n": number,
            "t": first,
            "m": batch[0].monotonic_ms,
            "s": [catalogue().by_path(path).code for path in paths],
            "v": [[ms_from_utc(sample.time) - first, *map(_short, map(sample.values.get, paths))] for sample in batch],
        }
        messages.append((publish_topic(DEVICE, "readings"), squeeze.compress(cbor2.dumps(document, canonical=True))))
    return messages


def _short(value: float | None) -> float | int | None:
    return int(value) if value is not None and value.is_integer() else value


def sparkplug(form_batches: Sequence[Batch], *, by_exception: bool) -> list[Message]:
    """NDATA with metrics by alias (their names went in the birth, not counted), each with its time, as 32-bit floats.

    ``by_exception``: only what differs from the row before, as Sparkplug is meant to be used; nothing tells then that a
    value was read again.
    """
    messages: list[Message] = []
    known: dict[str, float] = {}
    for number, batch in enumerate(form_batches):
        metrics = []
        for sample in batch:
            time_ms = ms_from_utc(sample.time)
            for path, value in sample.values.items():
                if by_exception and known.get(path) == value:
                    continue
                known[path] = value
                metrics.append(
                    pysparkplug.Metric(
                        timestamp=time_ms,
                        name=None,
                        datatype=pysparkplug.DataType.FLOAT,
                        value=value,
                        alias=catalogue().by_path(path).code,
                    )
                )
        payload = pysparkplug.NData(timestamp=ms_from_utc(batch[-1].time), seq=number % 256, metrics=metrics)
        messages.append((f"spBv1.0/wearcast/NDATA/{DEVICE}", payload.encode()))
    return messages


def with_estimates(form_batches: Sequence[Batch]) -> list[tuple[Estimate, ...]]:
    """What the estimators of a generic car say, once a minute."""
    estimators = build_estimators("generic")
    found: list[tuple[Estimate, ...]] = []
    due: datetime | None = None
    for batch in form_batches:
        for sample in batch:
            for estimator in estimators:
                estimator.update(sample)
        moment = batch[-1].time
        if due is None or moment >= due or moment < due - timedelta(minutes=2):
            due = moment + timedelta(seconds=60)
            found.append(tuple(entry for estimator in estimators for entry in estimator.estimates(moment)))
        else:
            found.append(())
    return found


def check_lossless(form_batches: Sequence[Batch], messages: Sequence[Message]) -> None:
    """What is decoded differs from what was read by less than a hundredth of the sensor's step."""
    topic = DeviceTopic(device=DEVICE, channel="readings")
    for batch, (_, payload) in zip(form_batches, messages, strict=True):
        decoded = decode_message(topic, payload)
        assert isinstance(decoded, ReadingsBatch)
        for before, after in zip(batch, decoded.samples, strict=True):
            assert before.time.replace(microsecond=before.time.microsecond // 1000 * 1000) == after.time
            for path, value in before.values.items():
                step = float(min(catalogue().by_path(path).resolutions))
                assert abs(after.values[path] - value) <= step / 100 + 1e-6, path


def transmit(form_batches: Sequence[Batch], messages: Sequence[Message], tls: "Tls") -> Sent:
    """Publish over TLS at QoS 1, 32 in flight, and wait until the backend has acknowledged each."""
    window = threading.Semaphore(32)
    done = threading.Event()
    left = len(messages)
    numbers = iter(range(1, len(messages) + 1))

    def answer(_topic: str, _payload: bytes) -> tuple[str, bytes]:
        number = next(numbers)
        ack = Acknowledgement(device=DEVICE, boot=BOOT, committed=((number, number),))
        return acks_topic(DEVICE), encode_ack(ack)

    client = Client(
        CallbackAPIVersion.VERSION2, client_id=DEVICE, clean_session=False, protocol=MQTTProtocolVersion.MQTTv311
    )
    client.tls_set_context(tls.client)
    client.on_socket_open = _send_at_once
    client.max_inflight_messages_set(0)
    subscribed = threading.Event()

    def on_message(*_: object) -> None:
        nonlocal left
        window.release()
        left -= 1
        if not left:
            done.set()

    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    with counting_broker(tls.server, answer) as broker:
        client.connect("localhost", broker.port)
        client.loop_start()
        connected = time.monotonic()
        while not client.is_connected():
            assert time.monotonic() - connected < 30
            time.sleep(0.01)
        client.subscribe(acks_topic(DEVICE), qos=1)
        assert subscribed.wait(30)
        for topic, payload in messages:
            window.acquire()
            client.publish(topic, payload, qos=1)
        assert done.wait(60)
        client.disconnect()
        client.loop_stop()
    # Each packet is a TLS record of its own: so its share of the bytes that were counted can be told. The rest is the
    # alert that ends a connection.
    assert 0 <= broker.traffic.up - broker.traffic.framed_up < 100
    return Sent(
        samples=sum(len(sample.values) for batch in form_batches for sample in batch),
        rows=sum(len(batch) for batch in form_batches),
        messages=len(messages),
        payload=sum(len(payload) for _, payload in messages),
        traffic=broker.traffic,
    )


class Tls:
    """Certificates of this run: the broker's, and the device's own."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.server.minimum_version = ssl.TLSVersion.TLSv1_3
        authority.issue_cert("localhost").configure_cert(self.server)
        authority.configure_trust(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)
        authority.issue_cert(common_name=DEVICE).configure_cert(self.client)


def month_mb(sent: Sent) -> float:
    """Megabytes of a month: driven hours, both directions, TCP/IP headers reckoned, one connection a day."""
    traffic = sent.traffic
    records = traffic.records_up + traffic.records_down
    segments = records + records / 2
    hours = sent.rows * 0.5 / 3600
    driven = (traffic.up + traffic.down + SEGMENT_BYTES * segments) / hours * HOURS_A_DAY
    connection = traffic.handshake_up + traffic.handshake_down + SEGMENT_BYTES * 12
    return (driven + connection) * DAYS / 1e6


def rows() -> list[Row]:
    """Measure all forms at the default batching, and our form at others."""
    trips = read_trips()
    if not trips:
        raise SystemExit(f"{TRIPS} holds no trips: this benchmark needs the recordings")
    seconds, most = DEFAULTS.batch_seconds, DEFAULTS.batch_samples
    tls = Tls()
    default = batches(trips, seconds=seconds, most=most)
    compact = ours(default, "compact")
    check_lossless(default, compact)
    ways: dict[str, Callable[[], list[Message]]] = {
        "JSON form": lambda: ours(default, "json"),
        "Sparkplug B": lambda: sparkplug(default, by_exception=False),
        "Sparkplug B, changed values only": lambda: sparkplug(default, by_exception=True),
        "CBOR + zstd": lambda: cbor_zstd(default),
        "compact form": lambda: compact,
    }
    sent = {name: transmit(default, way(), tls) for name, way in ways.items()}
    json, best = sent["JSON form"], sent["compact form"]
    batching = f"{seconds:g} s a batch"
    table = [
        row(
            f"{name}, {batching}",
            entry.per_sample,
            "bytes/sample up",
            at_most=GOAL_BYTES if name == "compact form" else None,
            ratio=None if name == "JSON form" else json.per_sample / entry.per_sample,
            against=None if name == "JSON form" else f"JSON form, {batching}",
        )
        for name, entry in sent.items()
    ]
    table.append(row("JSON against compact form", json.per_sample / best.per_sample, "times", at_least=GOAL_RATIO))
    estimated = ours(default, "compact", with_estimates(default))
    table += [
        row("compact form, estimates included", transmit(default, estimated, tls).per_sample, "bytes/sample up"),
        row("compact form, payload alone", best.payload / best.samples, "bytes/sample up"),
        row("compact form, acknowledgements included", best.both_ways, "bytes/sample up+down"),
        row("compact form, a row of 27 values", best.per_sample * best.samples / best.rows, "bytes/row up", digits=1),
        row("a connection with the device's certificate", best.traffic.handshake_up, "bytes up", digits=0),
        row("a connection, from the broker", best.traffic.handshake_down, "bytes down", digits=0),
    ]
    others = {
        "compact form, 30 s a batch": (30.0, 60),
        "compact form, 60 s or 100 rows a batch": (60.0, 100),
        "compact form, a backlog joined to 300 rows a batch": (10_000.0, 300),
    }
    for name, (other_seconds, other_most) in others.items():
        longer = batches(trips, seconds=other_seconds, most=other_most)
        entry = transmit(longer, ours(longer, "compact"), tls)
        table.append(row(name, entry.per_sample, "bytes/sample up"))
        table.append(row(f"{name}, acknowledgements included", entry.both_ways, "bytes/sample up+down"))
        sent[name] = entry
    for name, entry in sent.items():
        title = f"a month at 1 h a day, {name}" + ("" if "a batch" in name else f", {batching}")
        table.append(row(title, month_mb(entry), "MB, with TCP/IP", digits=1))
    return table
