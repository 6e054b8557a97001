"""Listening live: a recorded bus in the kernel's place, and a truck on a bus that reaches the broker and the store."""

import bisect
import csv
import gzip
import socket
import struct
import threading
import time
from pathlib import Path

import can
import opendbc
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.config import load_config
from edge_agent.sources.broadcast_dbc import compile_layouts
from edge_agent.sources.broadcast_frames import SocketCanFrames
from edge_agent.sources.broadcast_layout import EXTENDED
from edge_agent.sources.broadcast_listener import SignalListener
from edge_agent.sources.broadcast_mapping import CanMapping
from edge_agent.start import start
from telemetry.records import Acknowledgement, DeviceStatus, EventKind, ReadingsBatch
from telemetry.topics import acks_topic, parse_device_topic
from telemetry.wire import decode_message, encode_ack
from wearcast.embedded.nats import Broker
from wearcast.embedded.ports import free_port

RECORDINGS = Path(__file__).parents[3] / "shared" / "data"
TOYOTA = RECORDINGS / "can" / "toyota_2017_60s.log.gz"
SECONDS = 60.0
PORT = free_port(socket.SOCK_DGRAM)
BUS = CanBusConfig(interface="udp_multicast", channel="239.74.163.94", options={"port": PORT})
TRUCK = """
device: truck-1
source: {{kind: broadcast, interface: udp_multicast, channel: 239.74.163.94, options: {{port: {bus}}}, j1939: true}}
outbox: {{path: outbox.sqlite}}
batch: 200ms
drain: 100ms
stop_grace: 100ms
mqtt: {{host: {host}, port: {port}}}
"""
EEC1 = (0x0CF00400, "f07d7d0032ffffff")  # 1600 rpm
# DM1 of two codes as a transfer: MIL on, SPN 110 FMI 0, SPN 521049 FMI 31.
DM1 = (
    (0x1CECFF00, "200a0002ffcafe00"),
    (0x1CEBFF00, "0140ff6e00000159"),
    (0x1CEBFF00, "02f3ff01ffffffff"),
)


@pytest.mark.recordings
@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings in ../shared/data are not here")
def test_a_recorded_bus_heard_live_has_the_speed_of_the_reference() -> None:
    """The frames of a minute at the clock they were recorded on, one value a second; those of both buses mixed."""
    dbc = Path(opendbc.__file__).parent / "dbc" / "generator" / "toyota" / "_toyota_2017.dbc"
    mapping = CanMapping(message="SPEED", signal="SPEED", path="Vehicle.Speed")
    listener = SignalListener(compile_layouts(dbc, [mapping]), period_s=1.0)
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    frames = SocketCanFrames(ours, listener.filters, name="recorded", counter=None)
    with TOYOTA.with_name("toyota_2017_60s_speed_reference.csv").open(newline="") as file:
        reference = [(float(row["time_s"]), float(row["speed_m_per_s"])) for row in csv.DictReader(file)]
    times = [moment for moment, _ in reference]
    errors = []
    with ours, kernel, gzip.open(TOYOTA, "rt", encoding="ascii") as log:
        for line in log:
            stamp, _, frame = line.split()
            identifier, _, data = frame.partition("#")
            key = int(identifier, 16) | (EXTENDED if len(identifier) > 3 else 0)
            kernel.send(struct.pack("=IB3x8s", key, len(data) // 2, bytes.fromhex(data)))
            now = float(stamp.strip("()"))
            for heard in frames.read(0.0):
                listener.hear(*heard, now)
            if (speed := listener.take(now).values.get("Vehicle.Speed")) is not None:
                nearest = reference[min(bisect.bisect(times, now), len(times) - 1)][1]
                errors.append(abs(speed / 3.6 - nearest))  # km/h -> m/s
    assert frames.activity().frames == 98_800
    assert 58 <= len(errors) <= 61
    assert sum(errors) / len(errors) < 0.4  # m/s, as of the replay


@pytest.mark.broker
def test_a_truck_that_is_only_listened_to_reaches_the_broker(tmp_path: Path, broker: Broker) -> None:
    values: dict[str, float] = {}
    codes: set[str] = set()
    subscribed, complete, stop = threading.Event(), threading.Event(), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id="ingest")

    def take(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        batch = decode_message(parse_device_topic(message.topic), bytes(message.payload))
        assert not isinstance(batch, DeviceStatus)
        if isinstance(batch, ReadingsBatch):
            for sample in batch.samples:
                values.update(sample.values)
        else:
            appeared = (event for event in batch.events if event.kind is EventKind.DTC_APPEARED)
            codes.update(f"{event.data['code']} at {event.data['ecu']}" for event in appeared)
        # The dongle sends its second batch when the first is acknowledged: nobody knows what the backend takes.
        taken = Acknowledgement(
            device=batch.key.device, boot=batch.key.boot, committed=((batch.key.sequence, batch.key.sequence),)
        )
        client.publish(acks_topic(batch.key.device), encode_ack(taken))
        if values and len(codes) == 2:
            complete.set()

    def subscribe(*_: object) -> None:
        client.subscribe([("wearcast/v1/+/readings", 1), ("wearcast/v1/+/events", 1)])

    client.on_connect, client.on_message = subscribe, take
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    assert subscribed.wait(SECONDS)
    (tmp_path / "agent.yaml").write_text(TRUCK.format(host=broker.host, port=broker.port, bus=PORT), encoding="utf-8")
    assert load_config(tmp_path / "agent.yaml").source.kind == "broadcast"
    agent = threading.Thread(target=start, args=(tmp_path / "agent.yaml", stop))
    agent.start()
    try:
        with open_can_bus(BUS) as truck:
            deadline = time.monotonic() + SECONDS
            while not complete.is_set():
                assert time.monotonic() < deadline, (values, codes)
                for identifier, data in (EEC1, *DM1):
                    truck.send(can.Message(arbitration_id=identifier, data=bytes.fromhex(data), is_extended_id=True))
                complete.wait(0.1)
    finally:
        stop.set()
        agent.join(SECONDS)
        client.disconnect()
        client.loop_stop()
        client.on_message = client.on_connect = None  # which refer to the client: it would close its sockets too late
    assert values == {"Vehicle.Powertrain.CombustionEngine.Speed": 1600.0, "Vehicle.OBD.Status.IsMILOn": 1.0}
    assert codes == {"SPN 110 FMI 0 at 18FECA00", "SPN 521049 FMI 31 at 18FECA00"}
