"""Engines beside each other, and what goes wrong: one alert per episode all the same."""

import threading
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from ingest.database import Connection, connect
from rules.alerts import list_alerts
from rules.booking.errors import BookingError
from rules.engine import run_once
from rules.rule import parse_rule, rulebook
from tests.integration.rules_bench import (
    NOW,
    Bench,
    register_car,
)

pytestmark = pytest.mark.database


def test_two_engines_at_once_make_one_alert_per_car(bench: Bench) -> None:
    cars = [bench.car, *(register_car(bench.connection) for _ in range(20))]
    for car in cars:
        bench.oil(5, car=car)
    start = threading.Barrier(4)
    claimed: list[int] = []

    def engine() -> None:
        with closing(connect(bench.config.database_url, autocommit=True)) as connection:
            start.wait()
            claimed.append(run_once(connection, bench.config))

    threads = [threading.Thread(target=engine) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alerts = list_alerts(bench.connection)
    assert len(alerts) == len(cars)
    assert {alert.vehicle_id for alert in alerts} == set(cars)
    assert len(bench.desk.proposed) == len(cars)
    assert sum(claimed) == len(cars), "each car was judged by one engine"


def test_the_index_refuses_a_second_alert_even_if_the_state_was_lost(bench: Bench) -> None:
    bench.oil(5)
    bench.run()
    bench.connection.execute("DELETE FROM rule_state")
    bench.oil(4)
    bench.run()
    assert bench.alerts() == [("oil_life_low", "", True)]
    assert len(bench.desk.proposed) == 1


def test_a_failing_desk_leaves_no_half_done_alert_and_is_tried_again(bench: Bench) -> None:
    def refuse(connection: Connection, alert_id: UUID, now: datetime) -> object | None:
        raise BookingError("no calendar today")

    bench.oil(5)
    run_once(bench.connection, replace(bench.config, propose=refuse))
    failures, due_at, error = bench.progress()
    assert (failures, error) == (1, "BookingError: no calendar today")
    assert due_at is not None
    assert due_at > bench.clock.now
    assert bench.alerts() == []
    assert bench.run() == 0, "not before its time"
    bench.clock.now = due_at
    assert bench.run() == 1
    assert bench.alerts() == [("oil_life_low", "", True)]
    assert bench.progress()[0] == 0


def test_a_car_with_bad_data_is_recorded_and_the_others_go_on(bench: Bench) -> None:
    good = register_car(bench.connection)
    bench.spoil()
    bench.oil(5, car=good)
    assert bench.run() == 2
    assert len(list_alerts(bench.connection, vehicle_id=good)) == 1
    failures, _, error = bench.progress()
    assert failures == 1
    assert error is not None
    assert error.startswith("StateError: the stored state of vehicle")


def test_back_off_grows_to_a_limit(bench: Bench) -> None:
    bench.spoil()
    waits = []
    for _ in range(12):
        bench.run()
        due_at = bench.progress()[1]
        assert due_at is not None
        waits.append(due_at - bench.clock.now)
        bench.clock.now = due_at
    assert waits == sorted(waits)
    assert waits[0] == timedelta(seconds=2)
    assert waits[-1] == timedelta(minutes=5)


def test_one_rule_that_cannot_be_computed_leaves_the_others_working(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.oil(5)
    dividing = parse_rule(
        """
for_each: vehicle
when: 10 / int(estimate.oil_life.value * 3.0 - 15.0) > 1 # fails at 5
needs: {estimate.oil_life: 1d}
severity: info
title: {en: a, zh: 甲}
text: {en: a, zh: 甲}
examples: [{name: a, given: {}, expect: unknown}]
""",
        "divides.yaml",
    )
    run_once(bench.connection, replace(bench.config, rules=(*rulebook(), dividing)))
    assert bench.alerts() == [("oil_life_low", "", True)]
    failures, due_at, error = bench.progress()
    assert failures == 0
    assert error is not None
    assert error.startswith("rule divides: EvaluationError")
    assert due_at == bench.clock.now + timedelta(minutes=5)
    bench.oil(5, at=NOW + timedelta(seconds=1))
    run_once(bench.connection, replace(bench.config, rules=(*rulebook(), dividing)))
    assert [record.message for record in caplog.records if "rule divides" in record.message] == [
        f"vehicle {bench.car}: {error}"
    ], "the same error is logged once"


def test_state_that_is_not_ours_is_refused_by_the_database(bench: Bench) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        bench.connection.execute(
            "INSERT INTO rule_state (rule_id, vehicle_id, subject, state, since, rule_version)"
            " VALUES ('a', %s, '', 'maybe', now(), 'v')",
            [bench.car],
        )
