"""The life of a booking: every state and action, told once in a table."""

from datetime import UTC, datetime, timedelta

import pytest

from rules.booking.errors import BookingError
from rules.booking.transitions import Action, BookingState, Standing, Transition, decide

START = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)
HELD_UNTIL = START - timedelta(hours=12)
IN_TIME = HELD_UNTIL - timedelta(hours=1)

# state -> action -> the state it leads to, "=" for done already, or a word of the error. All while the hold lasts.
TABLE: dict[str, dict[str, str]] = {
    "proposed": {
        "confirm": "confirmed",
        "move": "proposed",
        "decline": "declined",
        "cancel": "!decline it instead",
        "expire": "=",
        "complete": "!has not confirmed",
    },
    "confirmed": {
        "confirm": "=",
        "move": "confirmed",
        "decline": "!cancel it instead",
        "cancel": "cancelled",
        "expire": "=",
        "complete": "!on that day",
    },
    "declined": {
        "confirm": "!choose another slot",
        "move": "proposed",
        "decline": "=",
        "cancel": "!given away already",
        "expire": "=",
        "complete": "!no work to report",
    },
    "expired": {
        "confirm": "!choose another slot",
        "move": "proposed",
        "decline": "declined",
        "cancel": "!given away already",
        "expire": "=",
        "complete": "!no work to report",
    },
    "cancelled": {
        "confirm": "!ask for a new one",
        "move": "!ask for a new one",
        "decline": "!nothing to decline",
        "cancel": "=",
        "expire": "=",
        "complete": "!no work to report",
    },
    "completed": {
        "confirm": "!nothing to confirm",
        "move": "!cannot be moved",
        "decline": "!nothing to decline",
        "cancel": "!cannot be cancelled",
        "expire": "=",
        "complete": "!reported already",
    },
}


def standing(state: str) -> Standing:
    return Standing(state=BookingState(state), starts_at=START, held_until=HELD_UNTIL, time_zone="Europe/Berlin")


def test_the_table_knows_every_state_and_action() -> None:
    assert set(TABLE) == {state.value for state in BookingState}
    assert all(set(row) == {action.value for action in Action} for row in TABLE.values())


@pytest.mark.parametrize(
    ("state", "action", "outcome"),
    [(state, action, outcome) for state, row in TABLE.items() for action, outcome in row.items()],
)
def test_each_action_in_each_state(state: str, action: str, outcome: str) -> None:
    if outcome.startswith("!"):
        with pytest.raises(BookingError, match=outcome[1:]):
            decide(standing(state), Action(action), IN_TIME)
    elif outcome == "=":
        assert decide(standing(state), Action(action), IN_TIME) == Transition(state=BookingState(state), changed=False)
    else:
        assert decide(standing(state), Action(action), IN_TIME) == Transition(state=BookingState(outcome))


def test_a_hold_ends_at_its_instant() -> None:
    proposed = standing("proposed")
    assert decide(proposed, Action.CONFIRM, HELD_UNTIL - timedelta(microseconds=1)).changed
    assert not decide(proposed, Action.EXPIRE, HELD_UNTIL - timedelta(microseconds=1)).changed
    assert decide(proposed, Action.EXPIRE, HELD_UNTIL).state is BookingState.EXPIRED
    with pytest.raises(BookingError, match=r"The hold ran out at 2026-03-02 20:00 CET; choose another slot\."):
        decide(proposed, Action.CONFIRM, HELD_UNTIL)


def test_an_appointment_that_began_cannot_be_moved_but_cancelled_and_completed() -> None:
    confirmed = standing("confirmed")
    with pytest.raises(BookingError, match="began at 2026-03-03 08:00 CET"):
        decide(confirmed, Action.MOVE, START)
    assert decide(confirmed, Action.CANCEL, START).state is BookingState.CANCELLED
    assert decide(confirmed, Action.COMPLETE, START).state is BookingState.COMPLETED


def test_work_may_be_reported_from_the_morning_of_its_local_day() -> None:
    midnight = datetime(2026, 3, 2, 23, 0, tzinfo=UTC)  # in Berlin
    assert decide(standing("confirmed"), Action.COMPLETE, midnight).state is BookingState.COMPLETED
    with pytest.raises(BookingError, match="on that day"):
        decide(standing("confirmed"), Action.COMPLETE, midnight - timedelta(seconds=1))


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        decide(standing("proposed"), Action.CONFIRM, datetime(2026, 3, 1))  # noqa: DTZ001 - what is refused
