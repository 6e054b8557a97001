"""An empty dongle: it answers, collects nothing, spares the battery, and ends its silence with a new service alone."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.enrolment.port import Unmanaged
from edge_agent.errors import ConfigurationError, OutboxError
from edge_agent.forget import enable
from edge_agent.notify import Notifier
from edge_agent.outbox import Outbox
from edge_agent.power.port import AlwaysOn
from edge_agent.remote.service import RemoteService
from edge_agent.sources.base import Reading
from edge_agent.start import start
from edge_agent.testing import FakeClock, LoopbackUplink, ScriptedSource
from edge_agent.wipe import quiet
from edge_agent.wipe.desk import WipeDesk, WipeOrderedError
from edge_agent.wipe.empty import finish_wipe
from edge_agent.wipe.link import WipeLink
from edge_agent.wipe.quiet import GIVE_UP_SECONDS, Quiet
from edge_agent.wipe.record import NEVER, read_record, write_record
from telemetry.wipe import WipeResult, decode_wipe_result, encode_wipe
from tests.unit.edge_agent.wipe_support import DEVICE, NOW, fill, wipe, with_the_car


class ScriptedLink:
    """A connection that gives one step of a script at each look: a wipe, or what happens then."""

    def __init__(self, script: list[bytes | Callable[[], None]]) -> None:
        self.script = script
        self.connected = False
        self.slow = False  # it connects by the script alone
        self.wanted = False
        self.starts = 0
        self.said: list[WipeResult] = []
        self.takes = True

    def start(self) -> None:
        self.starts += not self.connected
        self.wanted = True
        self.connected = self.connected or not self.slow

    def stop(self) -> None:
        self.wanted = self.connected = False

    def received(self, seconds: float) -> bytes | None:  # noqa: ARG002 - the link's
        step = self.script.pop(0)
        if isinstance(step, bytes):
            return step
        step()
        return None

    def answer(self, result: WipeResult) -> bool:
        self.said.append(result)
        return self.takes


class Renewing(Unmanaged):
    """An identity that has a renewed certificate, once, when told so."""

    renewed = False

    def tick(self, *, connected: bool) -> bool:  # noqa: ARG002 - the port's
        renewed, self.renewed = self.renewed, False
        return renewed


class Bench:
    """An empty dongle under test. The script ends with ``stop``."""

    def __init__(self, folder: Path, *script: bytes | Callable[[], None], generation: int = 0) -> None:
        self.outbox = fill(folder)
        self.stop = threading.Event()
        self.seconds = 0.0
        self.generation = generation
        self.link = ScriptedLink([*script, self.stop.set])
        write_record(self.outbox, NEVER.begun(wipe(), batches=5))
        finish_wipe(self.outbox)
        config = AgentConfig(
            device=DEVICE, source=SourceConfig(kind="replay_csv"), outbox_path=self.outbox, last_known_time_path=None
        )
        self.quiet = Quiet(
            config=config,
            link=cast("WipeLink", self.link),
            desk=WipeDesk(device=DEVICE, outbox=self.outbox, tls=None),
            generation=lambda: self.generation,
            identity=Unmanaged(),
            power=AlwaysOn(),
            clock=FakeClock(NOW),
            monotonic=lambda: self.seconds,
        )

    def run(self) -> None:
        self.quiet.run(self.stop)


def nothing() -> None:
    """A look at which nothing happens."""


def test_it_answers_unasked_once_per_connection_and_when_it_is_told_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, nothing, nothing, encode_wipe(wipe()), nothing)
    bench.run()
    assert [(said.id, said.state, said.batches) for said in bench.link.said] == [(wipe().id, "wiped", 5)] * 2
    assert not bench.link.connected
    assert with_the_car(tmp_path) == set()
    assert not bench.outbox.exists()


def test_an_answer_that_the_broker_did_not_take_is_given_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, nothing, nothing, nothing)
    bench.link.takes = False
    bench.run()
    assert len(bench.link.said) == 4


def test_another_order_for_the_same_service_is_done_too(tmp_path: Path) -> None:
    second = wipe(2)
    bench = Bench(tmp_path, encode_wipe(second), b"rubbish", encode_wipe(wipe(3, generation=4)))
    bench.run()
    assert [(said.id, said.state) for said in bench.link.said[1:]] == [
        (second.id, "wiped"),
        (wipe(3).id, "refused"),
    ]
    assert read_record(bench.outbox).state == "done"


def test_it_knocks_no_more_where_it_is_shut_out_after_the_answer(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def shut_out() -> None:
        bench.link.connected = False
        bench.link.starts = 0
        bench.seconds += GIVE_UP_SECONDS + 1

    bench.link.script[:0] = [nothing, shut_out, nothing, nothing]
    bench.run()
    assert bench.link.starts == 0


def test_a_certificate_that_is_renewed_later_lets_it_answer_again(tmp_path: Path) -> None:
    """A backend that was restored asks again; connecting takes longer than a look."""
    bench = Bench(tmp_path)
    identity = Renewing()
    bench.quiet._identity = identity

    def given_up() -> None:
        bench.link.connected = False
        bench.seconds += GIVE_UP_SECONDS + 1

    def renew() -> None:
        bench.link.said.clear()
        bench.link.slow = True
        identity.renewed = True

    def through() -> None:
        assert bench.link.wanted
        bench.link.connected = True

    bench.link.script[:0] = [nothing, given_up, nothing, renew, nothing, nothing, through]
    bench.run()
    assert [said.state for said in bench.link.said] == ["wiped"]


def test_a_certificate_of_a_later_generation_is_a_new_service(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.link.script[:0] = [nothing, lambda: setattr(bench, "generation", 1)]
    bench.run()
    assert not bench.stop.is_set()
    assert read_record(bench.outbox).state == "served"


def test_a_person_can_begin_a_new_service(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.link.script[:0] = [lambda: None if enable(bench.outbox, NOW) else pytest.fail("not enabled")]
    bench.run()
    assert not bench.stop.is_set()
    old = WipeDesk(device=DEVICE, outbox=bench.outbox, tls=None).take(
        wipe(9, issued=NOW - timedelta(hours=1)), NOW, batches=0
    )
    assert old is not None
    assert old.refusal == "before-this-service"


def test_a_running_agent_closes_everything_and_sends_nothing_more(tmp_path: Path) -> None:
    """Order: written down, source and outbox closed, then the caller empties."""
    path = tmp_path / "outbox.sqlite"
    clock = FakeClock(NOW)
    config = AgentConfig(
        device=DEVICE, source=SourceConfig(kind="obd_can"), outbox_path=path, last_known_time_path=None
    )
    answers: list[bytes] = []

    class Channel:
        def publish_result(self, kind: str, payload: bytes) -> None:
            assert kind == "wipe"
            answers.append(payload)

    reading = Reading(values={"Vehicle.Speed": 87.5})
    with Outbox.open(path, device=DEVICE, max_bytes=10_000_000) as outbox:
        source = ScriptedSource([])
        remote = RemoteService(device=DEVICE, allowed=(), source=source, channel=Channel(), clock=clock)
        desk = WipeDesk(device=DEVICE, outbox=path, tls=None)
        remote.on_wipe = lambda order: desk.take(order, clock.now(), batches=outbox.pending_batches())

        def told(number: int, generation: int) -> Callable[[], None]:
            return lambda: remote.receive("wipe", encode_wipe(wipe(number, generation=generation)))

        source._script = iter([reading, told(1, 3), reading, told(2, 0), reading, reading, reading])
        uplink = LoopbackUplink(device=DEVICE, outbox=outbox, backend=lambda *_: None)
        agent = Agent(
            config=config,
            source=source,
            estimators=(),
            outbox=outbox,
            uplink=uplink,
            clock=clock,
            notifier=Notifier({}),
            remote=remote,
        )
        with pytest.raises(WipeOrderedError):
            agent.run(threading.Event())
        assert not source.is_open
        assert not uplink.connected
        assert next(source._script, None) is not None  # it read no further
    (refused,) = (decode_wipe_result(DEVICE, payload) for payload in answers)
    assert (refused.id, refused.refusal) == (wipe(1).id, "other-generation")
    assert read_record(path).state == "begun"
    finish_wipe(path)
    assert not path.exists()


def test_a_start_finishes_the_wipe_before_it_opens_anything_and_goes_on_when_it_is_enabled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet, "TURN_SECONDS", 0.02)
    outbox = fill(tmp_path)
    write_record(outbox, NEVER.begun(wipe(), batches=2))
    config = tmp_path / "agent.yaml"
    config.write_text(
        json.dumps(
            {
                "device": DEVICE,
                "vehicle_profile": "there is none",  # whoever gets as far as the profile fails
                "source": {"kind": "replay_csv", "path": "trip.csv"},
                "outbox": {"path": outbox.name},
                "mqtt": {"host": "127.0.0.1", "port": 1},
            }
        )
    )
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(start, config, stop)
        try:
            until(lambda: read_record(outbox).state == "done", "the wipe is finished")
            assert with_the_car(tmp_path) == set()
            with pytest.raises(OutboxError, match="in use"):
                Outbox.open(outbox, device=DEVICE, max_bytes=10_000_000)
            assert enable(outbox, NOW)
            with pytest.raises(ConfigurationError, match="vehicle_profile"):
                running.result(60)
        finally:
            stop.set()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
