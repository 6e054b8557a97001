"""A batch whose key the backend has stored with other content goes under another one: it is not stored yet."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from edge_agent.outbox import Outbox, Publication
from edge_agent.outbox_content import unpack
from telemetry.digest import digest
from telemetry.records import Acknowledgement, ReadingsBatch, RejectedBatch
from tests.unit.edge_agent.outbox_support import BOOT, DEVICE, NOW, NOW_MS, memory, numbers_of, publish_all, seal

HOUR_MS = 3_600_000
OTHER = digest(b"other content")


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with memory() as opened:
        yield opened


def refuse(
    outbox: Outbox, published: Iterable[Publication], reason: str, stored: bytes | None = None
) -> tuple[int, ...]:
    refused = tuple(RejectedBatch(sequence=entry.key.sequence, reason=reason, stored=stored) for entry in published)
    return outbox.acknowledge(Acknowledgement(device=DEVICE, boot=BOOT, rejected=refused))


def replayed(outbox: Outbox, published: Iterable[Publication], stored: bytes | None = OTHER) -> tuple[int, ...]:
    return refuse(outbox, published, "replayed", stored)


def test_one_put_right_that_another_worker_took_as_it_was_comes_under_the_next_key(outbox: Outbox) -> None:
    seal(outbox, 0, 1)
    seal(outbox, 2)
    first = publish_all(outbox)
    refuse(outbox, first[:1], "far-future")
    assert outbox.put_right(NOW_MS - HOUR_MS, 0)
    again = publish_all(outbox)
    assert [entry.key.sequence for entry in again] == [1, 2]
    assert replayed(outbox, again[:1]) == (again[0].id,)  # so that its place in flight is free
    assert replayed(outbox, again[:1]) == ()  # it was sent twice
    renumbered = next(entry for entry in publish_all(outbox) if entry.id == again[0].id)
    assert (renumbered.key.boot, renumbered.key.sequence) == (BOOT, 3)
    batch = unpack(DEVICE, "readings", renumbered.payload)
    assert isinstance(batch, ReadingsBatch)
    assert batch.key == renumbered.key
    assert [one.time for one in batch.samples] == [NOW + timedelta(hours=-1, seconds=n) for n in (0, 1)]
    assert outbox.rejected() == ()
    counts = outbox.counters()
    assert (counts["batches_renumbered"], counts["samples_renumbered"]) == (1, 2)
    committed = Acknowledgement(device=DEVICE, boot=BOOT, committed=((1, 3),))
    assert len(outbox.acknowledge(committed)) == 2
    assert outbox.pending_batches() == 0


def test_one_that_is_replayed_under_its_second_key_too_is_put_aside(outbox: Outbox) -> None:
    seal(outbox, 0)
    for _ in range(2):
        published = publish_all(outbox)
        replayed(outbox, published)
    assert [(entry.sequence, entry.reason) for entry in outbox.rejected()] == [(2, "replayed")]
    assert publish_all(outbox) == ()
    seal(outbox, 1)  # it may get the id of the one that is gone
    replayed(outbox, publish_all(outbox))
    assert numbers_of(publish_all(outbox)) == [1]


def test_a_late_refusal_of_an_older_copy_does_not_make_two_of_what_is_stored(outbox: Outbox) -> None:
    seal(outbox, 0)
    refuse(outbox, publish_all(outbox), "far-future")
    outbox.put_right(NOW_MS - HOUR_MS, 0)
    (put_right,) = publish_all(outbox)  # one worker stores it, and its acknowledgement is on the way or lost
    assert replayed(outbox, [put_right], digest(put_right.payload)) == ()  # another one saw the copy from before
    assert publish_all(outbox) == (put_right,)
    outbox.acknowledge(Acknowledgement(device=DEVICE, boot=BOOT, committed=((1, 1),)))
    assert (outbox.pending_batches(), outbox.rejected()) == (0, ())


def test_where_nobody_says_what_is_stored_it_is_put_aside(outbox: Outbox) -> None:
    seal(outbox, 0)
    replayed(outbox, publish_all(outbox), None)
    assert [(entry.sequence, entry.reason) for entry in outbox.rejected()] == [(1, "replayed")]
    assert outbox.pending_batches() == 0


def test_one_whose_id_was_that_of_a_renumbered_one_has_its_own_chance(outbox: Outbox) -> None:
    seal(outbox, 0)
    publish_all(outbox)
    seal(outbox, 1)
    replayed(outbox, publish_all(outbox))
    (joined,) = outbox.publish(outbox.waiting("readings", 9))
    seal(outbox, 2)
    young = [batch for batch in outbox.waiting("readings", 9) if not batch.published]
    assert [batch.id for batch in young] == [joined.id + 1]  # that of the one which became part of its neighbour
    replayed(outbox, outbox.publish(young))
    assert outbox.rejected() == ()
    assert sorted(numbers_of(publish_all(outbox))) == [0, 1, 2]


def test_one_that_lost_its_key_and_got_none_before_a_restart_gets_one_then(outbox: Outbox) -> None:
    seal(outbox, 0)
    replayed(outbox, publish_all(outbox))
    boot = UUID(int=77)
    outbox.begin_boot(boot)
    (again,) = publish_all(outbox)
    assert (again.key.boot, again.key.sequence) == (boot, 1)
    refused = (RejectedBatch(sequence=1, reason="replayed", stored=OTHER),)
    outbox.acknowledge(Acknowledgement(device=DEVICE, boot=boot, rejected=refused))
    assert [(entry.boot, entry.sequence) for entry in outbox.rejected()] == [(boot, 1)]


def makes_room(outbox: Outbox) -> bool:
    with outbox.transaction(durable=False):
        return outbox._bound.make_room() is not None


def test_those_whose_keys_were_taken_can_be_thinned_like_any_that_were_never_published(outbox: Outbox) -> None:
    for number in range(20):
        seal(outbox, number)
    assert makes_room(outbox)
    published = publish_all(outbox)
    assert not makes_room(outbox)
    replayed(outbox, published)
    assert makes_room(outbox)
    assert len(numbers_of(publish_all(outbox))) < len(numbers_of(published))
