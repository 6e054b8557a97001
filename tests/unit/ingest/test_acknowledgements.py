"""Acknowledgements cover exactly what they should, in as few ranges as possible."""

from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ingest.storing.acknowledgements import acknowledgements, ranges, together
from telemetry.records import BatchKey, RejectedBatch

BOOT = UUID(int=1)
OTHER_BOOT = UUID(int=2)


def key(device: str, boot: UUID, sequence: int) -> BatchKey:
    return BatchKey(device=device, boot=boot, sequence=sequence)


def test_neighbours_are_joined() -> None:
    assert ranges([3, 1, 2, 7, 2]) == ((1, 3), (7, 7))
    assert ranges([]) == ()


@given(st.sets(st.integers(min_value=1, max_value=60)))
def test_ranges_cover_exactly_the_numbers_and_never_touch(numbers: set[int]) -> None:
    found = ranges(numbers)
    assert {number for first, last in found for number in range(first, last + 1)} == numbers
    assert all(left[1] + 1 < right[0] for left, right in pairwise(found))


def test_one_acknowledgement_per_device_and_boot() -> None:
    made = acknowledgements(
        [key("a", BOOT, 2), key("b", BOOT, 1), key("a", BOOT, 1), key("a", OTHER_BOOT, 9)],
        {
            key("a", BOOT, 5): ("far-future", None),
            key("a", BOOT, 3): ("malformed", None),
            key("c", BOOT, 4): ("replayed", b"digest"),
        },
    )
    by_boot = {(ack.device, ack.boot): ack for ack in made}
    assert len(made) == len(by_boot) == 4
    assert by_boot["a", BOOT].committed == ((1, 2),)
    assert by_boot["a", BOOT].rejected == (
        RejectedBatch(sequence=3, reason="malformed"),
        RejectedBatch(sequence=5, reason="far-future"),
    )
    assert by_boot["a", OTHER_BOOT].committed == ((9, 9),)
    assert by_boot["c", BOOT].committed == ()
    assert by_boot["c", BOOT].rejected == (RejectedBatch(sequence=4, reason="replayed", stored=b"digest"),)


def test_nothing_to_tell() -> None:
    assert acknowledgements([], {}) == ()


_KEYS = st.builds(key, st.sampled_from("ab"), st.sampled_from([BOOT, OTHER_BOOT]), st.integers(1, 12))


@given(st.lists(st.tuples(st.sets(_KEYS), st.dictionaries(_KEYS, st.just(("malformed", None)))), max_size=4))
def test_what_several_groups_say_together_is_what_one_group_of_all_would(
    groups: list[tuple[set[BatchKey], dict[BatchKey, tuple[str, None]]]],
) -> None:
    several = [ack for committed, rejected in groups for ack in acknowledgements(committed, rejected)]
    every = acknowledgements(
        {entry for committed, _ in groups for entry in committed},
        {entry: reason for _, rejected in groups for entry, reason in rejected.items()},
    )
    joined = together(several)
    assert {(ack.device, ack.boot): ack for ack in joined} == {(ack.device, ack.boot): ack for ack in every}
    assert len(joined) == len(every)
