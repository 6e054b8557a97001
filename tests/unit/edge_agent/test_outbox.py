"""The outbox: numbering, acknowledgement ranges, what survives, and a process killed at any moment."""

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import OutboxError
from edge_agent.ledger import read_ledger
from edge_agent.outbox import Outbox
from telemetry.records import Sample
from tests.unit.edge_agent.outbox_support import (
    BOOT,
    DEVICE,
    KERNEL,
    NOW,
    NOW_MS,
    NUMBER,
    acknowledged,
    all_waiting,
    memory,
    numbers_of,
    opened,
    publish_all,
    sample,
    seal,
    seal_event,
)


def test_batches_are_numbered_as_they_are_published_from_one_in_each_run() -> None:
    outbox = memory()
    for number in range(4):
        seal(outbox, number)
    first, second, third, fourth = all_waiting(outbox)
    assert [entry.key.sequence for entry in outbox.publish([third, first])] == [1, 2]
    other = uuid4()
    outbox.begin_boot(other, KERNEL)
    published = outbox.publish([first, second, third, fourth])
    assert [(entry.key.boot, entry.key.sequence) for entry in published] == [
        (BOOT, 2),
        (other, 1),
        (BOOT, 1),
        (other, 2),
    ]
    assert numbers_of(published) == [0, 1, 2, 3]


def test_neighbours_of_a_backlog_are_published_as_one() -> None:
    outbox = memory()
    for number in range(6):
        seal(outbox, *range(100 * number, 100 * number + 80), clock_ms=NOW_MS if number < 5 else None)
        if number == 1:
            seal_event(outbox, 7777)
    published = outbox.publish(outbox.waiting("readings", 10))
    assert [len(numbers_of([entry])) for entry in published] == [240, 160, 80]  # at most 300; and one of another clock
    assert [entry.key.sequence for entry in published] == [1, 2, 3]
    assert outbox.pending_batches() == 4
    assert outbox.counters()["batches_joined"] == 3
    assert numbers_of(published) == [100 * number + n for number in range(6) for n in range(80)]


def test_what_was_published_or_comes_newest_first_is_not_joined() -> None:
    outbox = memory()
    for number in range(4):
        seal(outbox, number)
    outbox.publish(outbox.waiting("readings", 1))
    assert len(outbox.publish(outbox.waiting("readings", 10, newest_first=True))) == 4


def test_a_published_batch_keeps_its_bytes() -> None:
    outbox = memory()
    seal(outbox, 1)
    (first,) = publish_all(outbox)
    (again,) = publish_all(outbox)
    assert (first.key, first.payload) == (again.key, again.payload)


def test_without_a_run_nothing_is_accepted() -> None:
    outbox = Outbox.open(":memory:", device=DEVICE, max_bytes=10_000_000)
    with pytest.raises(OutboxError, match="begin_boot"):
        seal(outbox)


@given(
    count=st.integers(1, 60),
    ranges=st.lists(st.tuples(st.integers(-5, 70), st.integers(-5, 70)), max_size=8),
    rejected=st.lists(st.integers(1, 70), max_size=5),
    published=st.integers(0, 60),
)
def test_what_stays_is_what_was_neither_committed_nor_rejected_in_order(
    count: int, ranges: list[tuple[int, int]], rejected: list[int], published: int
) -> None:
    outbox = memory()
    for number in range(1, count + 1):
        seal(outbox, number)
    sent = [entry for batch in all_waiting(outbox)[:published] for entry in outbox.publish([batch])]
    ack = acknowledged(*ranges, rejected=tuple(rejected))
    gone = outbox.acknowledge(ack)
    expected_gone = {entry.key.sequence for entry in sent if ack.covers(entry.key.sequence)}
    expected_gone |= {entry.key.sequence for entry in sent if entry.key.sequence in rejected}
    assert numbers_of(publish_all(outbox)) == [n for n in range(1, count + 1) if n not in expected_gone]
    assert len(gone) == len(expected_gone) == count - outbox.pending_batches()
    kept_aside = {entry.sequence for entry in outbox.rejected()}
    assert kept_aside == {n for n in expected_gone if not ack.covers(n)}
    outbox.close()


def test_what_was_never_published_cannot_be_acknowledged() -> None:
    outbox = memory()
    seal(outbox)
    outbox.acknowledge(acknowledged((1, 2**62), rejected=(1,)))
    assert outbox.pending_batches() == 1
    assert outbox.rejected() == ()


def test_an_acknowledgement_of_another_boot_changes_nothing() -> None:
    outbox = memory()
    seal(outbox)
    publish_all(outbox)
    outbox.acknowledge(acknowledged((1, 1), boot=uuid4()))
    assert outbox.pending_batches() == 1


def test_rejected_batches_are_kept_with_their_reason_and_bounded() -> None:
    outbox = memory()
    for _ in range(230):
        seal_event(outbox)
    publish_all(outbox)
    outbox.acknowledge(acknowledged(rejected=tuple(range(1, 231))))
    entries = outbox.rejected()
    assert [entry.sequence for entry in entries] == list(range(31, 231))
    assert {(entry.reason, entry.channel) for entry in entries} == {("malformed", "events")}
    assert outbox.counters()["rejected_forgotten"] == 30


def test_newest_and_oldest_are_found_by_channel() -> None:
    outbox = memory()
    for number in range(5):
        seal(outbox, number)
        seal_event(outbox, 10 + number)
    newest = outbox.waiting("readings", 2, newest_first=True)
    assert numbers_of(outbox.publish(newest)) == [4, 3]
    assert numbers_of(outbox.publish(outbox.waiting("events", 3))) == [10, 11, 12]
    assert [batch.published for batch in outbox.waiting("readings", 9)] == [False, False, False, True, True]


def test_what_the_disk_spoilt_is_put_aside_and_counted_and_holds_up_nothing() -> None:
    outbox = memory()
    for number in range(3):
        seal(outbox, number)
    outbox._db.execute(
        "UPDATE batch SET payload = substr(payload, 1, 20) || zeroblob(length(payload) - 20) WHERE id = 2"
    )
    assert numbers_of(publish_all(outbox)) == [0, 2]
    assert [entry.reason for entry in outbox.rejected()] == ["spoilt on the disk"]
    assert outbox.counters()["batches_damaged"] == 1
    assert outbox.pending_batches() == 2
    assert [entry.key.sequence for entry in publish_all(outbox)] == [1, 2]  # no number is missing


def test_a_sample_that_the_disk_spoilt_does_not_take_the_others_with_it() -> None:
    outbox = memory()
    outbox.add_samples([sample(1), sample(2), sample(3)], recorded=False)
    outbox._db.execute("UPDATE pending_sample SET content = zeroblob(9) WHERE id = 2")
    assert [entry.sample for entry in outbox.pending_samples()] == [sample(1), sample(3)]


def test_a_transaction_is_all_or_nothing() -> None:
    outbox = memory()

    def interrupted() -> None:
        with outbox.transaction(durable=True):
            outbox.add_samples([sample(1)], recorded=False)
            seal(outbox)
            publish_all(outbox)
            outbox.put_state("x", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert outbox.pending_samples() == ()
    assert outbox.pending_batches() == 0
    assert outbox.state("x") is None
    seal(outbox)
    assert [entry.key.sequence for entry in publish_all(outbox)] == [1]


def test_everything_survives_reopening(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "outbox.sqlite"
    mixed = Sample(time=NOW, monotonic_ms=5, values={"Vehicle.Speed": 50.1, "Vehicle.OBD.MAP": 101.0})
    with opened(path) as outbox:
        outbox.begin_boot(BOOT, KERNEL)
        outbox.add_samples([mixed], recorded=True)
        seal_event(outbox, 7)
        (published,) = publish_all(outbox)
        outbox.put_state("estimator.oil_life", {"revolutions": 12.5})
    with opened(path) as outbox:
        assert outbox.salvage is None
        (pending,) = outbox.pending_samples()
        assert (pending.kernel, pending.sample, pending.recorded) == (KERNEL, mixed, True)
        assert outbox.state("estimator.oil_life") == {"revolutions": 12.5}
        assert outbox.publish(all_waiting(outbox))[0].payload == published.payload


def test_one_outbox_serves_one_agent(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with opened(path), pytest.raises(OutboxError, match="in use by another agent"):
        opened(path)


def test_a_later_version_is_neither_used_nor_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    opened(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(OutboxError, match="install a newer agent"):
        opened(path)
    assert [file.name for file in tmp_path.iterdir() if "damaged" in file.name] == []


def test_two_threads_may_seal_and_acknowledge_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "outbox.sqlite") as outbox:
        outbox.begin_boot(BOOT)
        done = threading.Event()
        seen: list[int] = []

        def drain() -> None:
            while not (done.is_set() and outbox.pending_batches() == 0):
                for entry in outbox.publish(outbox.waiting("readings", 8)):  # joined, as it happens
                    seen.extend(numbers_of([entry]))
                    outbox.acknowledge(acknowledged((entry.key.sequence, entry.key.sequence)))

        thread = threading.Thread(target=drain)
        thread.start()
        for number in range(1, 301):
            seal(outbox, number)
        done.set()
        thread.join(30)
        assert seen == list(range(1, 301))


# Accepts numbered samples, seals every seventh, hands batches to a "backend" file and acknowledges them, for ever.
_WORKER = """
import itertools, os, sys
from pathlib import Path
from uuid import uuid4
import msgspec
from edge_agent.outbox import Outbox
from tests.unit.edge_agent.outbox_support import NOW_MS, acknowledged, numbers_of, sample

folder, first = Path(sys.argv[1]), int(sys.argv[2])
boot = uuid4()

def seal(outbox):
    with outbox.transaction(durable=True):
        samples = [entry.sample for entry in outbox.pending_samples()]
        if samples:
            outbox.add_readings(samples, [], created_ms=NOW_MS, clock_ms=NOW_MS)
        outbox.clear_pending()

outbox = Outbox.open(folder / "outbox.sqlite", device="car-1", max_bytes=10**9)
assert outbox.salvage is None
outbox.begin_boot(boot)
seal(outbox)
backend = os.open(folder / "backend", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
print("ready", flush=True)
for number in itertools.count(first):
    outbox.add_samples([sample(number)], recorded=number % 3 == 0)
    os.write(1, b"%d\\n" % number)
    if number % 7 == 0:
        seal(outbox)
    if number % 20 == 0:
        for batch in outbox.waiting("readings", 2):
            (entry,) = outbox.publish([batch])
            line = {"key": str(entry.key), "n": numbers_of([entry])}
            os.write(backend, msgspec.json.encode(line) + b"\\n")
            outbox.acknowledge(acknowledged((entry.key.sequence, entry.key.sequence), boot=entry.key.boot))
"""


def test_ten_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    rng = random.Random(20260131)
    accepted: list[int] = []
    first = 1
    for _ in range(10):
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(tmp_path), str(first)], stdout=subprocess.PIPE, text=True
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        lines = [worker.stdout.readline().strip() for _ in range(rng.randint(0, 40))]
        time.sleep(rng.uniform(0.0, 0.003))  # into the midst of a step, not always to its end
        worker.send_signal(signal.SIGKILL)
        lines += worker.stdout.read().split("\n")[:-1]  # what follows the last line end was cut off by the kill
        worker.stdout.close()
        assert worker.wait() == -signal.SIGKILL
        accepted += [int(line) for line in lines]
        first += len(lines) + 1000  # a gap, so that a sample accepted but not told of is recognised

    batches: dict[str, list[int]] = {}
    for line in (tmp_path / "backend").read_bytes().splitlines() if (tmp_path / "backend").exists() else []:
        message = msgspec.json.decode(line, type=dict[str, object])
        numbers = msgspec.convert(message["n"], list[int])
        assert batches.setdefault(str(message["key"]), numbers) == numbers  # sent twice is the same batch
    with opened(tmp_path / "outbox.sqlite", 10**9) as outbox:
        waiting = [int(entry.sample.values[NUMBER]) for entry in outbox.pending_samples()]
        outbox.begin_boot(uuid4())
        for entry in publish_all(outbox):
            assert batches.setdefault(str(entry.key), numbers_of([entry])) == numbers_of([entry])
    stored = [number for numbers in batches.values() for number in numbers] + waiting
    assert len(accepted) > 100
    assert len(stored) == len(set(stored))
    assert set(accepted) <= set(stored)
    assert len(set(stored) - set(accepted)) <= 10  # accepted, and killed before it could say so: one per kill


def test_the_ledger_is_read_beside_a_running_agent(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with pytest.raises(OutboxError, match="there is no outbox"):
        read_ledger(path)
    with opened(path) as outbox:
        outbox.begin_boot(BOOT)
        for _ in range(3):
            seal(outbox, *range(60))
        publish_all(outbox)
        seal_event(outbox)
        outbox.acknowledge(acknowledged((1, 1), rejected=(2,)))
        outbox.add_samples([sample(1)], recorded=False)
        assert read_ledger(path) == {
            "samples_accepted": 181,
            "samples_waiting": 1,
            "samples_sealed": 180,
            "events_sealed": 1,
            "batches_sealed": 4,
            "batches_committed": 1,
            "batches_rejected": 1,
            "batches_waiting": 2,
            "batches_in_flight": 1,
            "rejected_kept": 1,
        }
    path.write_bytes(b"not an outbox" * 100)
    with pytest.raises(OutboxError, match="cannot be read"):
        read_ledger(path)


def test_a_full_disk_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    accepted = 0
    with opened(path) as outbox:
        outbox.begin_boot(BOOT)
        pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
        outbox._db.execute(f"PRAGMA max_page_count={pages + 5}")

        def fill() -> None:
            nonlocal accepted
            while True:
                outbox.add_samples([sample(accepted)], recorded=False)
                accepted += 1

        with pytest.raises(OutboxError, match="full; check the disk"):
            fill()
        with pytest.raises(OutboxError, match="full; check the disk"):
            seal(outbox, *(random.Random(1).choices(range(60_000), k=3_000)))
        assert accepted > 10
    with opened(path) as outbox:
        assert [entry.sample for entry in outbox.pending_samples()] == [sample(number) for number in range(accepted)]
        outbox.begin_boot(UUID(int=2))
        seal(outbox)
        assert [entry.key.sequence for entry in publish_all(outbox)] == [1]


def test_an_outbox_locked_by_somebody_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with opened(path) as outbox, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        outbox._db.execute("PRAGMA busy_timeout=0")
        with pytest.raises(OutboxError, match="locked"):
            outbox.begin_boot(BOOT)
        other.rollback()
        outbox.begin_boot(BOOT)
