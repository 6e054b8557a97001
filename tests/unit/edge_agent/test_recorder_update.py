"""What a former version accepted, taken up by this one."""

from pathlib import Path
from uuid import UUID

from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.outbox import Outbox
from edge_agent.recorder import Recorder
from edge_agent.testing import START, FakeClock
from telemetry.records import ReadingsBatch, Sample
from telemetry.topics import DeviceTopic
from telemetry.wire import decode_message

FORMER = UUID(int=7)


def test_a_signal_that_the_catalogue_no_longer_has_does_not_stop_the_agent(tmp_path: Path) -> None:
    config = AgentConfig(device="car-1", source=SourceConfig(kind="obd_can"), outbox_path=tmp_path / "unused")
    with Outbox.open(":memory:", device="car-1", max_bytes=1_000_000) as outbox:
        outbox.begin_boot(FORMER)
        values = {"Vehicle.Speed": 50.0, "Vehicle.OBD.RenamedSince": 1.0, "Vehicle.OBD.EngineLoad": 900.0}
        outbox.add_sample(FORMER, Sample(time=START, monotonic_ms=1, values=values), recorded=False)
        Recorder(config=config, estimators=[], outbox=outbox, clock=FakeClock())
        (batch,) = [batch for batch in outbox.oldest(10) if batch.channel == "readings"]
        payload = outbox.payload(batch)
    assert payload is not None
    message = decode_message(DeviceTopic(device="car-1", channel="readings"), payload)
    assert isinstance(message, ReadingsBatch)
    assert [dict(sample.values) for sample in message.samples] == [{"Vehicle.Speed": 50.0}]
