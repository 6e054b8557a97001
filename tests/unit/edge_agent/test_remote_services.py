"""Service records from the broker: handed to the estimators, answered, and rubbish left alone."""

from uuid import UUID

import pytest

from edge_agent.remote.service import RemoteService
from edge_agent.services import Serviced
from edge_agent.testing import FakeClock, ScriptedSource
from telemetry.records import ServiceRecord
from telemetry.service import ServiceResult, decode_service_result, encode_service
from tests.unit.edge_agent.service_support import record

DEVICE = "d1"


class Bench:
    """A service whose estimators answer as they are told to."""

    def __init__(self, answer: Serviced) -> None:
        self.told: list[ServiceRecord] = []
        self.said: list[ServiceResult] = []
        self.answer = answer
        self.service = RemoteService(
            device=DEVICE, allowed=(), source=ScriptedSource([]), channel=self, clock=FakeClock()
        )
        self.service.on_service = self.take

    def take(self, told: ServiceRecord) -> Serviced:
        self.told.append(told)
        return self.answer

    def publish_result(self, kind: str, payload: bytes) -> None:
        assert kind == "service"
        self.said.append(decode_service_result(DEVICE, payload))

    def receive(self, payload: bytes) -> None:
        self.service.receive("service", payload)
        self.service.tick()


@pytest.mark.parametrize("state", ["applied", "refused"])
def test_what_became_of_it_is_said_though_no_question_is_let_in(state: str) -> None:
    bench = Bench(Serviced(state="applied") if state == "applied" else Serviced(state="refused", reason="too thin"))
    bench.receive(encode_service(DEVICE, record()))
    assert bench.told == [record()]
    (said,) = bench.said
    assert (said.id, said.state, said.reason) == (record().id, state, bench.answer.reason)


def test_what_cannot_be_judged_now_is_not_answered() -> None:
    bench = Bench(Serviced(state="later", reason="no clock"))
    bench.receive(encode_service(DEVICE, record()))
    assert (len(bench.told), bench.said) == (1, [])


@pytest.mark.parametrize("payload", [b"", b"{", b"null", b"x" * 9000, encode_service("other", record())])
def test_rubbish_and_what_is_for_another_is_ignored(payload: bytes) -> None:
    bench = Bench(Serviced(state="applied"))
    bench.receive(payload)
    assert (bench.told, bench.said) == ([], [])


def test_records_are_taken_in_their_order() -> None:
    bench = Bench(Serviced(state="applied"))
    for number in range(5):
        bench.service.receive("service", encode_service(DEVICE, record(number)))
    bench.service.tick()
    assert [told.id for told in bench.told] == [UUID(int=number) for number in range(5)]
