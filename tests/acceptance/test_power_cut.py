"""Power cut at any moment: 200 lives of recorder and outbox killed, and a whole agent with its broker.

A kill is the part of a power cut that can be had here: what was written to the page cache stays. What a cut does to
the disk beyond it (a truncated file, a journal cut off, torn pages) is tested in test_outbox_salvage.py.
``POWER_CUTS`` and ``POWER_CUT_SEED`` give the number of kills, and other choices of when.
"""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import UUID, uuid4

import msgspec
import pytest
import yaml
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.outbox import Outbox
from edge_agent.outbox_content import unpack
from telemetry.records import Acknowledgement, BatchKey, DeviceStatus, EventsBatch, ReadingsBatch
from telemetry.topics import acks_topic, parse_device_topic
from telemetry.wire import Message, decode_message, encode_ack
from tests.acceptance.acceptance_support import ROOT, START_SECONDS, ended_in_order, wait_until
from tests.acceptance.power_cut_child import FINDS_EACH, SERVICES, number_of, told_in
from tests.unit.edge_agent.outbox_support import DEVICE, publish_all
from wearcast.embedded.nats import Broker, private_broker
from wearcast.embedded.processes import ManagedProcess

CUTS = int(os.environ.get("POWER_CUTS", "200"))
SEED = int(os.environ.get("POWER_CUT_SEED", "20260301"))
AGENT_CUTS = 6  # of a whole agent: a start takes a second
# Numbers an agent hands out before it is cut: of each such many once, so that most lives are longer than what may be
# lost of one. By time, a busy machine would read hardly any.
READ_STEP = 20
MOST_LOST = 40  # less than a second of them
GAP = 10_000  # numbers between two lives: a sample accepted and not told of is recognised

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120 + CUTS)]


def test_no_cut_loses_what_was_accepted_or_gives_a_number_twice(tmp_path: Path) -> None:
    print(f"POWER_CUT_SEED={SEED}")  # noqa: T201 - pytest shows it with a failure
    draw = random.Random(SEED)
    accepted: list[int] = []
    command = [sys.executable, "-m", "tests.acceptance.power_cut_child", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as lives:
        assert lives.stdin is not None
        assert lives.stdout is not None
        for life in range(CUTS):
            lives.stdin.write(b"%d %d\n" % (GAP * life, draw.randrange(2**32)))
            lives.stdin.flush()
            accepted += one_life(lives.stdout, draw)
        lives.stdin.close()
        assert lives.wait(START_SECONDS) == 0

    batches: dict[str, list[int]] = {}
    told: dict[str, list[str]] = {}
    for line in (tmp_path / "backend").read_bytes().splitlines():
        message = msgspec.json.decode(line, type=dict[str, object])
        numbers = msgspec.convert(message["n"], list[int])
        assert batches.setdefault(str(message["key"]), numbers) == numbers, "a number was given to other data"
        told[str(message["key"])] = msgspec.convert(message["told"], list[str])
    with Outbox.open(tmp_path / "outbox.sqlite", device=DEVICE, max_bytes=4_000_000) as outbox:
        assert outbox.salvage is None
        assert outbox.counters().keys().isdisjoint({"samples_thinned", "batches_damaged", "batches_rejected"})
        known = msgspec.convert(outbox.state("estimator.oil_life"), dict[str, object])
        waiting = [number_of(entry.sample.values) for entry in outbox.pending_samples()]
        outbox.begin_boot(uuid4())
        for entry in publish_all(outbox):
            batch = unpack(DEVICE, entry.channel, entry.payload)
            numbers = [number_of(one.values) for one in batch.samples] if isinstance(batch, ReadingsBatch) else []
            assert batches.setdefault(str(entry.key), numbers) == numbers
            told[str(entry.key)] = told_in(batch) if isinstance(batch, EventsBatch) else []
    sealed = [number for numbers in batches.values() for number in numbers]
    stored = sealed + waiting
    assert len(stored) == len(set(stored)), "a sample is in two batches"
    assert set(accepted) <= set(stored)
    assert len(accepted) > 5 * CUTS
    assert len(set(stored) - set(accepted)) <= 4 * CUTS  # on the disk, and killed before it could say so: a group each
    assert known["count"] == len(sealed)  # the estimators have seen each sealed sample once
    found = [f"signal.doubted {count}" for count in range(FINDS_EACH, len(sealed) + 1, FINDS_EACH)]
    said = [entry for entries in told.values() for entry in entries]
    assert sorted(entry for entry in said if entry in set(found)) == sorted(found)  # each told once
    services = [entry for entry in said if entry.startswith("service.reset")]
    assert len(services) == len(set(services)) == known["services"]
    assert min(CUTS, SERVICES) / 2 < len(services) <= SERVICES
    assert len(said) == len(found) + len(services)
    sequences: dict[str, list[int]] = {}
    for key in batches:
        _, boot, sequence = key.rsplit("/", 2)
        sequences.setdefault(boot, []).append(int(sequence))
    assert all(sorted(numbers) == list(range(1, len(numbers) + 1)) for numbers in sequences.values())


@pytest.mark.broker
def test_a_whole_agent_killed_again_and_again_loses_at_most_its_last_second(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    cuts = [draw.randint(1, READ_STEP) + READ_STEP * number for number in range(AGENT_CUTS)]
    draw.shuffle(cuts)
    lives: list[list[int]] = []  # what each agent's source handed out
    with private_broker(fresh=True) as broker, committing(broker) as committed:
        config = tmp_path / "agent.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "device": DEVICE,
                    "source": {"kind": "broadcast"},  # replaced by the one that counts
                    "outbox": {"path": "outbox.sqlite", "flush": "200ms"},
                    "batch": "500ms",
                    "mqtt": {"host": broker.host, "port": broker.port},
                    "uplink": {"ack_timeout": "1s", "reconnect_min": "200ms", "reconnect_max": "1s"},
                }
            ),
            encoding="utf-8",
        )
        for life in range(AGENT_CUTS + 1):
            with ManagedProcess.start(
                [sys.executable, "-m", "tests.acceptance.power_cut_agent", str(config), str(1_000 * life)],
                name=f"agent-{life}",
                log_path=tmp_path / f"agent-{life}.log",
                cwd=ROOT,
            ) as agent:
                agent.wait_for_line("1 handed out" if life % 3 else "connected to", START_SECONDS)
                if life < AGENT_CUTS:
                    agent.wait_for_line(f"^{cuts[life]} handed out", START_SECONDS)
                    time.sleep(draw.uniform(0, 0.05))
                    agent.kill()
                else:
                    wait_until(lambda: "20 handed out" in agent.output(), "the last agent reads")
                    assert ended_in_order(agent)
                lives.append([1_000 * life + int(entry) for entry in re.findall(r"(\d+) handed out", agent.output())])
        with Outbox.open(tmp_path / "outbox.sqlite", device=DEVICE, max_bytes=10_000_000) as outbox:
            assert outbox.salvage is None
            outbox.begin_boot(uuid4())
            for entry in publish_all(outbox):
                batch = unpack(DEVICE, entry.channel, entry.payload)
                assert committed.setdefault(entry.key, batch) == batch
    stored = sorted(
        number_of(sample.values)
        for batch in committed.values()
        if isinstance(batch, ReadingsBatch)
        for sample in batch.samples
    )
    assert len(stored) == len(set(stored))
    for life, handed_out in enumerate(lives):
        kept = [number for number in stored if number // 1_000 == life]
        assert kept == list(range(1_000 * life, 1_000 * life + len(kept))), "a hole"
        assert len(handed_out) - len(kept) <= MOST_LOST, "more than what was read since the last flush"
    assert len(stored) > 100
    by_boot: dict[UUID, list[int]] = {}
    for key in committed:
        by_boot.setdefault(key.boot, []).append(key.sequence)
    assert all(sorted(numbers) == list(range(1, len(numbers) + 1)) for numbers in by_boot.values())


@contextmanager
def committing(broker: Broker) -> Iterator[dict[BatchKey, Message]]:
    """A backend that commits each batch once, and loses every third of its acknowledgements."""
    committed: dict[BatchKey, Message] = {}
    subscribed = threading.Event()

    def on_message(client: Client, _userdata: object, message: MQTTMessage) -> None:
        if message.topic.endswith("/acks"):
            return
        record = decode_message(parse_device_topic(message.topic), bytes(message.payload))
        if isinstance(record, DeviceStatus):
            return
        assert committed.setdefault(record.key, record) == record
        this = (record.key.sequence, record.key.sequence)
        if len(committed) % 3:
            ack = Acknowledgement(device=record.key.device, boot=record.key.boot, committed=(this,))
            client.publish(acks_topic(record.key.device), encode_ack(ack), qos=1)

    client = Client(CallbackAPIVersion.VERSION2, client_id="backend", clean_session=False)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = on_message
    client.connect(broker.host, broker.port)
    client.subscribe("wearcast/v1/#", qos=1)
    client.loop_start()
    assert subscribed.wait(30)
    try:
        yield committed
    finally:
        client.disconnect()
        client.loop_stop()


def one_life(told: IO[bytes], draw: random.Random) -> list[int]:
    """Let it live for some samples and a random moment more, kill it, and give what it said to have accepted."""
    accepted: list[int] = []
    process: int | None = None
    wanted = draw.randint(0, 60)
    while process is None or len(accepted) < wanted:
        line = told.readline()
        assert line.endswith(b"\n"), "the life ended by itself"
        if line.startswith(b"life"):
            process = int(line.split()[1])
        else:
            accepted.append(int(line))
    time.sleep(draw.uniform(0, 0.004))  # into the midst of a step
    os.kill(process, signal.SIGKILL)
    while (line := told.readline()) != b"over\n":  # writes of less than a page into a pipe are whole or not at all
        accepted.append(int(line))
    return accepted
