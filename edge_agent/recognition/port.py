"""What the agent needs of a source that chooses the profile itself; :mod:`edge_agent.recognition.source` is one."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from health.estimator import Estimator


@dataclass(frozen=True, kw_only=True)
class Change:
    """The profile, or what is known of the car, is new. ``other_car``: it is another car, whose wear is its own."""

    other_car: bool


@runtime_checkable
class Recognising(Protocol):
    """A source that keeps what it has found out about cars, and says when it has found out more."""

    def restore(self, state: object) -> None:
        """Take up what :meth:`state` gave before a restart; before the first open."""
        ...

    def state(self) -> object:
        """What it has found out, as JSON values."""
        ...

    def estimators(self) -> list[Estimator]:
        """Fresh estimators of the profile by which the car is read now."""
        ...

    def take_change(self) -> Change | None:
        """What changed since the last call: None most of the time."""
        ...
