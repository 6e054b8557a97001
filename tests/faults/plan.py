"""Which faults come when: drawn from a seed alone, so that a run's choices can be repeated. Pure.

Faults come in rounds: one alone, or several that overlap. Within a round nothing is hit twice at a time. Every kind
comes once before any comes again.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.faults.fault import Fault

# Of rounds with one, two and three faults.
_SIZES: Final = (1, 2, 3)
_WEIGHTS: Final = (5, 3, 2)
_MOST_LATER_SECONDS: Final = 0.4  # between the first fault of a round and the others


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One fault as drawn."""

    kind: str
    target: str
    at_seconds: float  # after its round's beginning
    hold_seconds: float
    seed: int  # of what the fault itself draws


def rounds(seed: int, kinds: Mapping[str, type[Fault]]) -> Iterator[tuple[Planned, ...]]:
    """Round after round, without an end."""
    draw = random.Random(seed)
    bag: list[str] = []
    while True:
        size = draw.choices(_SIZES, _WEIGHTS)[0]
        planned: list[Planned] = []
        taken: set[str] = set()
        while len(planned) < size:
            if not bag:
                bag = list(kinds)
                draw.shuffle(bag)
            found = _first_possible(bag, kinds, taken, draw)
            if found is None:
                break
            name, target = found
            bag.remove(name)
            kind = kinds[name]
            taken.update((target, *kind.also))
            planned.append(
                Planned(
                    kind=name,
                    target=target,
                    at_seconds=draw.uniform(0, _MOST_LATER_SECONDS) if planned else 0.0,
                    hold_seconds=draw.uniform(*kind.hold_seconds),
                    seed=draw.randrange(2**32),
                )
            )
        yield tuple(planned)


def _first_possible(
    bag: list[str], kinds: Mapping[str, type[Fault]], taken: set[str], draw: random.Random
) -> tuple[str, str] | None:
    for name in bag:
        free = [target for target in kinds[name].targets if target not in taken]
        if free and taken.isdisjoint(kinds[name].also):
            return name, draw.choice(free)
    return None
