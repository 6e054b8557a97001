"""Nobody has another's session: attacks by client id. Real clients with certificates, both brokers."""

import asyncio
import time

import pytest

from ingest.brokers.disconnect import intruders
from tests.noting_client import SECONDS
from tests.security.fortress import Client, Fortress, attack

pytestmark = [pytest.mark.broker, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

ACKS = "wearcast/v1/car-1/acks"
COMMANDS = "wearcast/v1/car-1/commands/#"


def victim(fortress: Fortress) -> Client:
    return fortress.device("car-1", subscribe=[ACKS, COMMANDS], clean=False)


@pytest.fixture(autouse=True)
def no_session_of_before(fortress: Fortress) -> None:
    with fortress.device("car-1") as former:
        assert former.is_connected


@attack("take over another's session while it is away", answer="what waits there is not delivered to the thief")
def test_a_thief_of_a_sleeping_session_gets_nothing_and_the_owner_everything(fortress: Fortress) -> None:
    with victim(fortress):
        pass
    with fortress.service() as backend:
        backend.publish(ACKS, b"before")
        with fortress.device("car-2", client_id="car-1", clean=False) as thief:
            assert thief.hears_nothing()
            backend.publish(ACKS, b"during")
            assert thief.hears_nothing()
        with victim(fortress) as owner:
            owner.until(lambda: {payload for _, payload in owner.received} == {b"before", b"during"})


@attack("take over another's session while it is connected", answer="NATS: a disconnection; Mosquitto: nothing")
def test_a_thief_of_a_live_session_gets_nothing(fortress: Fortress) -> None:
    """NATS lets it disconnect the owner, who comes back; `wearcast broker watch` then keeps the thief out."""
    with victim(fortress) as owner, fortress.service() as backend:
        with fortress.device("car-2", client_id="car-1", clean=False, again=False) as thief:
            backend.publish(ACKS, b"during")
            assert thief.hears_nothing(0.5)
        owner.until(lambda: owner.is_connected and (ACKS, b"during") in owner.received)
        if fortress.kind == "mosquitto":
            assert owner.disconnections == 0
        backend.publish(ACKS, b"after")
        owner.until(lambda: (ACKS, b"after") in owner.received)
        assert thief.received == []


@attack("wipe another's session by a clean one of its client id", answer="NATS: sent again; Mosquitto: not possible")
def test_a_wiped_session_takes_nothing_that_is_sent_again(fortress: Fortress) -> None:
    """What waited is lost on NATS. No batch hangs on it: one without an acknowledgement is sent again."""
    with victim(fortress):
        pass
    with fortress.service() as backend:
        backend.publish(ACKS, b"waits")
        with fortress.device("car-2", client_id="car-1", clean=True) as thief:
            assert thief.hears_nothing()
        with victim(fortress) as owner:
            if fortress.kind == "mosquitto":
                owner.until(lambda: (ACKS, b"waits") in owner.received)
            backend.publish(ACKS, b"again")
            owner.until(lambda: (ACKS, b"again") in owner.received)


@attack("take over the worker's session", answer="nothing is delivered to the thief; the worker comes back")
def test_the_workers_session_gives_nothing(fortress: Fortress) -> None:
    with fortress.service(subscribe=["wearcast/#"], clean=False) as worker, fortress.device("car-1") as honest:
        with fortress.device("car-2", client_id="wearcast-ingest-1", clean=False, again=False) as thief:
            honest.publish("wearcast/v1/car-1/readings", b"private")
            assert thief.hears_nothing(0.5)
        worker.until(lambda: ("wearcast/v1/car-1/readings", b"private") in worker.received)
        honest.publish("wearcast/v1/car-1/readings", b"later")
        worker.until(lambda: ("wearcast/v1/car-1/readings", b"later") in worker.received)
        assert thief.received == []


async def nobody_intrudes(fortress: Fortress) -> None:
    """Soon: the broker may still have a connection of which it has not seen the end."""
    deadline = time.monotonic() + SECONDS
    while fortress.kind == "nats" and (found := await intruders(fortress.setup, {"car-1", "car-2"})):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("client_id", ["car-1", "wearcast-ingest-1"])
@attack("stay under another's client id", answer="NATS: found and kept out within 15 s; Mosquitto: not possible")
async def test_who_uses_anothers_client_id_is_found(fortress: Fortress, client_id: str) -> None:
    await nobody_intrudes(fortress)
    with fortress.device("car-2", client_id=client_id):
        if fortress.kind == "nats":
            assert await intruders(fortress.setup, {"car-1", "car-2"}) == {"car-2": client_id}
        else:
            with fortress.device("car-1") as owner:
                assert owner.is_connected
    with fortress.device("car-2"), fortress.device("car-1", client_id="whatever"), fortress.service():
        await nobody_intrudes(fortress)


ODD = ["", "a" * 300, "../car-1", "car-1\n", "car 1", "车", "*", ">", "wearcast.*"]


@attack("odd client ids", answer="refused, or a session like any other")
def test_odd_client_ids_change_nothing(fortress: Fortress) -> None:
    own = "wearcast/v1/car-2/readings"
    with fortress.service(subscribe=["wearcast/v1/+/readings"]) as backend, victim(fortress) as owner:
        let_in = []
        for client_id in ODD:
            odd = fortress.device("car-2", client_id=client_id, again=False)
            if not odd.was_refused:
                odd.publish("wearcast/v1/car-1/readings", b"foreign")
                odd.publish(own, client_id.encode())
                let_in.append((own, client_id.encode()))
            odd.close()
        assert backend.hears_only(*let_in)
        backend.publish(ACKS, b"mine")
        assert owner.hears_only((ACKS, b"mine"), seconds=0)
