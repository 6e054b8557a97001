"""The rules' own tables that lead to a person, before those of :mod:`ingest.personal.places`."""

from typing import Final

from ingest.personal.places import PLACES as OF_INGEST
from ingest.personal.places import Place

OF_RULES: Final[tuple[Place, ...]] = (
    Place(
        table="outgoing",
        column="alert_id",
        link="alert",
        on_erasure="deleted",
        exported=True,
        why="messages to owner and workshop; a cancellation still on its way is detached and goes out without names",
    ),
    Place(
        table="offer",
        column="alert_id",
        link="alert",
        on_erasure="deleted",
        exported=True,
        why="workshop slots that were compared; the distance says where the car is",
    ),
    Place(
        table="booking",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=True,
        why="appointments; of work that was done, what the workshop's books need stays for nobody (anonymous_job)",
    ),
    Place(
        table="alert",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=True,
        why="what the owner was warned of",
    ),
    Place(
        table="rule_state",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=True,
        why="what the rules remember of the car",
    ),
    Place(
        table="rule_progress",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=False,
        why="how far the rules have looked: bookkeeping",
    ),
)

# Children before what they refer to.
ALL_PLACES: Final = (*OF_RULES, *OF_INGEST)
