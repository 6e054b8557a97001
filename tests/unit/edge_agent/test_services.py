"""Telling estimators of a service: all or nothing, and not what cannot be judged now."""

from datetime import timedelta

from edge_agent.outbox import Outbox
from edge_agent.services import _ESTIMATOR_OF, KnownServices, Serviced, tell
from edge_agent.testing import START
from health.registry import build_estimators
from telemetry.records import Quantity
from tests.unit.edge_agent.outbox_support import DEVICE
from tests.unit.edge_agent.service_support import Keeping, record


def test_every_quantity_has_its_estimator() -> None:
    assert set(_ESTIMATOR_OF) == set(Quantity)
    assert set(_ESTIMATOR_OF.values()) == {estimator.name for estimator in build_estimators("generic")}


def test_every_estimator_is_told() -> None:
    oil, pads = Keeping(), Keeping("brake_pads")
    assert tell([oil, pads], record(), START) == Serviced(state="applied")
    assert oil.told == pads.told == [str(record().id)]


def test_where_one_refuses_all_stand_as_before() -> None:
    first, second = Keeping("brake_pads"), Keeping()
    tell([first, second], record(1), START)
    answer = tell([first, second], record(2, value=120.0), START)
    assert answer == Serviced(state="refused", reason="120.0 percent is more than all of it")
    assert first.told == second.told == [str(record(1).id)]


def test_a_car_without_that_part_refuses() -> None:
    answer = tell([Keeping("tires")], record(), START)
    assert (answer.state, answer.reason) == ("refused", "oil_life is not estimated of this kind of car")


def test_what_cannot_be_judged_yet_is_told_again() -> None:
    assert tell([], record(), START).state == "later"
    ahead = record(time=START + timedelta(minutes=11))
    assert tell([Keeping()], ahead, START).state == "later"  # this clock is behind: it may be put right
    assert tell([Keeping()], ahead, START + timedelta(minutes=2)).state == "applied"


def test_the_ids_of_many_records_are_kept_and_not_of_all() -> None:
    with Outbox.open(":memory:", device=DEVICE, max_bytes=1_000_000) as outbox:
        known = KnownServices(outbox)
        for number in range(300):
            known.remember(record(number).id)
        again = KnownServices(outbox)
        assert record(299).id in again
        assert record(44).id in again
        assert record(43).id not in again
