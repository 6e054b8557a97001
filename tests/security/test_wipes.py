"""The command that empties a dongle, attacked: forged, replayed, and the door that is left open for it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from edge_agent.config import TlsConfig
from edge_agent.wipe.desk import WipeDesk
from edge_agent.wipe.record import NEVER, read_record
from ingest.brokers.branch import Access, Permitted
from telemetry.wipe import Wipe, decode_wipe, encode_wipe
from tests.security.fortress import Fortress, attack

pytestmark = [pytest.mark.broker, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

NOW = datetime.now(UTC)
COMMAND = "wearcast/v1/car-g3/commands/wipe"


def wipe_of(generation: int) -> bytes:
    return encode_wipe(
        Wipe(id=UUID(int=1), device="car-g3", generation=generation, issued=NOW, expires=NOW + timedelta(days=30))
    )


@attack("forge a wipe, to itself or another", answer="dropped by the broker")
def test_a_device_empties_nobody(fortress: Fortress) -> None:
    with fortress.device("car-g3", generation=3, subscribe=[COMMAND]) as victim, fortress.device("car-2") as device:
        for forger in (device, victim):
            forger.publish(COMMAND, wipe_of(3))
            forger.publish(COMMAND, wipe_of(3), retain=True)
        assert victim.hears_nothing()
        with fortress.service() as backend:
            backend.publish(COMMAND, wipe_of(3))
            assert victim.hears_only((COMMAND, wipe_of(3)))
    with fortress.device("car-g3", generation=3, subscribe=[COMMAND]) as later:
        assert later.hears_nothing()


@attack("send an old wipe again to a dongle that serves another owner by now", answer="the dongle refuses it")
def test_a_replayed_wipe_empties_no_later_owners_dongle(fortress: Fortress, tmp_path: Path) -> None:
    """As it would come from a broker that keeps or repeats it: the dongle goes by its own certificate."""
    outbox = tmp_path / "outbox.sqlite"
    outbox.write_bytes(b"the next owner's")
    certificate, key = fortress.of("car-g3", 3)
    desk = WipeDesk(device="car-g3", outbox=outbox, tls=TlsConfig(certificate=certificate, key=key))
    with fortress.service() as backend, fortress.device("car-g3", generation=3, subscribe=[COMMAND]) as device:
        backend.publish(COMMAND, wipe_of(2))
        device.until(lambda: bool(device.received))
        ((_, heard),) = device.received
    refused = desk.take(decode_wipe("car-g3", heard), NOW, batches=1)
    assert refused is not None
    assert (refused.state, refused.refusal) == ("refused", "other-generation")
    assert read_record(outbox) == NEVER
    assert outbox.exists()
    assert desk.take(decode_wipe("car-g3", wipe_of(3)), NOW + timedelta(days=31), batches=1) is not None
    assert desk.take(decode_wipe("car-g3", wipe_of(3)), NOW, batches=1) is None  # the true one, in its time


@attack("use the door that is open for a wipe for anything else", answer="dropped by the broker, or refused")
def test_who_is_to_be_emptied_can_do_nothing_else(fortress: Fortress) -> None:
    before = fortress.access
    fortress.access = Access(
        permitted=tuple(each for each in before.permitted if each.device != "car-g3"),
        only_wiped=(Permitted(device="car-g3", generation=3),),
        revocation_lists=before.revocation_lists,
    )
    branch = "wearcast/v1/car-g3"
    heard = [f"{branch}/acks", f"{branch}/commands/+", COMMAND, "wearcast/v1/car-1/acks", "#"]
    will = f"{branch}/status"
    try:
        fortress.apply()
        with (
            fortress.service(subscribe=["wearcast/#"]) as backend,
            fortress.device("car-g3", generation=3, subscribe=heard, will=will) as device,
        ):
            for topic in ("readings", "events", "results/dtc", "results/wipe/more", "commands/wipe", "acks"):
                device.mqtt.publish(f"{branch}/{topic}", b"more", qos=1)
            device.mqtt.publish("wearcast/v1/car-1/results/wipe", b"another's", qos=1)
            device.publish(f"{branch}/results/wipe", b"emptied")
            assert backend.hears_only((f"{branch}/results/wipe", b"emptied"))
            for topic in ("wearcast/v1/car-1/acks", f"{branch}/acks", f"{branch}/commands/dtc"):
                backend.publish(topic, b"not for it")
            backend.publish(COMMAND, wipe_of(3))
            device.until(lambda: bool(device.received))
            assert set(device.received) == {(COMMAND, wipe_of(3))}
    finally:
        fortress.access = before
        fortress.apply()
