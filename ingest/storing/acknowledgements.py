"""What to tell which device: committed sequence numbers as ranges, and rejected ones with their reason. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from uuid import UUID

from telemetry.records import Acknowledgement, BatchKey, RejectedBatch


def acknowledgements(
    committed: Iterable[BatchKey], rejected: Mapping[BatchKey, tuple[str, bytes | None]]
) -> tuple[Acknowledgement, ...]:
    """One acknowledgement per device and boot.

    ``rejected``: by key the reason, and the digest of what is stored under it where that is the reason.
    """
    sequences: dict[tuple[str, UUID], set[int]] = {}
    refusals: dict[tuple[str, UUID], list[RejectedBatch]] = {}
    for key in committed:
        sequences.setdefault((key.device, key.boot), set()).add(key.sequence)
    for key, (reason, stored) in rejected.items():
        refusals.setdefault((key.device, key.boot), []).append(
            RejectedBatch(sequence=key.sequence, reason=reason, stored=stored)
        )
    return tuple(
        Acknowledgement(
            device=device,
            boot=boot,
            committed=ranges(sequences.get((device, boot), ())),
            rejected=tuple(sorted(refusals.get((device, boot), ()), key=lambda entry: entry.sequence)),
        )
        for device, boot in dict.fromkeys((*sequences, *refusals))
    )


def together(given: Iterable[Acknowledgement]) -> tuple[Acknowledgement, ...]:
    """One acknowledgement per device and boot that says what several say."""
    by_boot: dict[tuple[str, UUID], list[Acknowledgement]] = {}
    for ack in given:
        by_boot.setdefault((ack.device, ack.boot), []).append(ack)
    return tuple(its[0] if len(its) == 1 else _joined(its) for its in by_boot.values())


def _joined(acknowledgements: Sequence[Acknowledgement]) -> Acknowledgement:
    committed = ranges(
        number for ack in acknowledgements for first, last in ack.committed for number in range(first, last + 1)
    )
    refused = {entry.sequence: entry for ack in acknowledgements for entry in ack.rejected}
    return Acknowledgement(
        device=acknowledgements[0].device,
        boot=acknowledgements[0].boot,
        committed=committed,
        rejected=tuple(refused[sequence] for sequence in sorted(refused)),
    )


def ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Inclusive ranges covering exactly these numbers, ascending: {1, 2, 3, 7} -> ((1, 3), (7, 7))."""
    ordered = sorted(set(numbers))
    if not ordered:
        return ()
    gaps = [(left, right) for left, right in pairwise(ordered) if right != left + 1]
    starts = [ordered[0], *(right for _, right in gaps)]
    ends = [*(left for left, _ in gaps), ordered[-1]]
    return tuple(zip(starts, ends, strict=True))
