"""A batch whose key the backend has stored with other content goes under another one: it is not stored yet."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

import pytest

from edge_agent.outbox import Outbox, Publication
from edge_agent.outbox_content import unpack
from telemetry.records import Acknowledgement, ReadingsBatch, RejectedBatch
from tests.unit.edge_agent.outbox_support import BOOT, DEVICE, NOW, NOW_MS, memory, numbers_of, publish_all, seal

HOUR_MS = 3_600_000


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with memory() as opened:
        yield opened


def refuse(outbox: Outbox, published: Iterable[Publication], reason: str) -> tuple[int, ...]:
    refused = tuple(RejectedBatch(sequence=entry.key.sequence, reason=reason) for entry in published)
    return outbox.acknowledge(Acknowledgement(device=DEVICE, boot=BOOT, rejected=refused))


def test_one_put_right_that_another_worker_took_as_it_was_comes_under_the_next_key(outbox: Outbox) -> None:
    seal(outbox, 0, 1)
    seal(outbox, 2)
    first = publish_all(outbox)
    refuse(outbox, first[:1], "far-future")
    assert outbox.put_right(NOW_MS - HOUR_MS, 0)
    again = publish_all(outbox)
    assert [entry.key.sequence for entry in again] == [1, 2]
    assert refuse(outbox, again[:1], "replayed") == (again[0].id,)  # so that its place in flight is free
    assert refuse(outbox, again[:1], "replayed") == ()  # it was sent twice
    renumbered = next(entry for entry in publish_all(outbox) if entry.id == again[0].id)
    assert (renumbered.key.boot, renumbered.key.sequence) == (BOOT, 3)
    batch = unpack(DEVICE, "readings", renumbered.payload)
    assert isinstance(batch, ReadingsBatch)
    assert batch.key == renumbered.key
    assert [one.time for one in batch.samples] == [NOW + timedelta(hours=-1, seconds=n) for n in (0, 1)]
    assert outbox.rejected() == ()
    committed = Acknowledgement(device=DEVICE, boot=BOOT, committed=((1, 3),))
    assert len(outbox.acknowledge(committed)) == 2
    assert outbox.pending_batches() == 0


def test_one_that_is_replayed_under_its_second_key_too_is_put_aside(outbox: Outbox) -> None:
    seal(outbox, 0)
    for _ in range(2):
        published = publish_all(outbox)
        refuse(outbox, published, "replayed")
    assert [(entry.sequence, entry.reason) for entry in outbox.rejected()] == [(2, "replayed")]
    assert publish_all(outbox) == ()
    seal(outbox, 1)  # it may get the id of the one that is gone
    refuse(outbox, publish_all(outbox), "replayed")
    assert numbers_of(publish_all(outbox)) == [1]


def makes_room(outbox: Outbox) -> bool:
    with outbox.transaction(durable=False):
        return outbox._bound.make_room() is not None


def test_those_whose_keys_were_taken_can_be_thinned_like_any_that_were_never_published(outbox: Outbox) -> None:
    for number in range(20):
        seal(outbox, number)
    assert makes_room(outbox)
    published = publish_all(outbox)
    assert not makes_room(outbox)
    refuse(outbox, published, "replayed")
    assert makes_room(outbox)
    assert len(numbers_of(publish_all(outbox))) < len(numbers_of(published))
