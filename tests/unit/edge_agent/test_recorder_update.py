"""What a former version accepted, taken up by this one."""

from pathlib import Path
from uuid import UUID

import msgspec

from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.outbox import Outbox
from edge_agent.outbox_content import checksum
from edge_agent.recorder import Recorder
from edge_agent.testing import START, FakeClock
from telemetry.records import ReadingsBatch, Sample
from telemetry.topics import DeviceTopic
from telemetry.wire import decode_message

FORMER = UUID(int=7)


def test_a_signal_that_the_catalogue_no_longer_has_does_not_stop_the_agent(tmp_path: Path) -> None:
    config = AgentConfig(device="car-1", source=SourceConfig(kind="obd_can"), outbox_path=tmp_path / "unused")
    with Outbox.open(":memory:", device="car-1", max_bytes=1_000_000) as outbox:
        outbox.begin_boot(FORMER, "kernel-0")
        values = {"Vehicle.Speed": 50.0, "Vehicle.OBD.EngineLoad": 900.0}
        outbox.add_samples([Sample(time=START, monotonic_ms=1, values=values)], recorded=False)
        content = msgspec.msgpack.encode({1: 50.0, 11_111: 1.0, 10: 900.0})  # speed, gone since, out of its range
        outbox._db.execute("UPDATE pending_sample SET content = ?, crc = ?", (content, checksum(content)))
        Recorder(config=config, estimators=[], outbox=outbox, clock=FakeClock())
        (published,) = outbox.publish(outbox.waiting("readings", 10))
    message = decode_message(DeviceTopic(device="car-1", channel="readings"), published.payload)
    assert isinstance(message, ReadingsBatch)
    assert [dict(sample.values) for sample in message.samples] == [{"Vehicle.Speed": 50.0}]
