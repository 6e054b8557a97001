"""The engine on a real TimescaleDB: one alert per episode, whoever looks and however often it restarts."""

from contextlib import closing
from dataclasses import replace

import pytest

from ingest.database import connect
from rules.alerts import list_alerts
from rules.booking import desk
from rules.engine import run_once
from telemetry.records import (
    EventKind,
)
from tests.integration.booking_scene import add_workshop
from tests.integration.rules_bench import (
    DAY,
    NOW,
    Bench,
    book,
    running_engine,
    wait_for,
)

pytestmark = pytest.mark.database


def test_an_alert_opens_once_and_a_booking_is_proposed_once(bench: Bench) -> None:
    bench.oil(5)
    assert bench.run() == 1
    assert bench.alerts() == [("oil_life_low", "", True)]
    for _ in range(3):
        bench.oil(4)
        bench.run()
    assert bench.alerts() == [("oil_life_low", "", True)]
    assert len(bench.desk.proposed) == 1
    assert bench.desk.announced == []


def test_nothing_new_is_nothing_to_do(bench: Bench) -> None:
    bench.oil(50)
    assert bench.run() == 1
    assert bench.run() == 0


def test_without_an_offer_the_owner_is_told_of_the_alert_alone(bench: Bench) -> None:
    bench.desk.books = False
    bench.oil(5)
    bench.run()
    assert bench.desk.announced == bench.desk.proposed
    assert len(bench.desk.announced) == 1


def test_a_rule_without_a_job_only_announces(bench: Bench) -> None:
    bench.coolant(120)
    bench.run()
    bench.clock.advance(minutes=10)
    bench.coolant(120)
    bench.run()
    assert bench.desk.proposed == []
    assert len(bench.desk.announced) == 1


def test_what_is_only_worth_mentioning_occupies_no_bay(bench: Bench) -> None:
    bench.code("P0456")
    bench.run()
    assert bench.alerts() == [("trouble_code_confirmed", "P0456", True)]
    assert bench.desk.proposed == []
    assert len(bench.desk.announced) == 1


def test_hysteresis_and_a_second_episode(bench: Bench) -> None:
    for value, alerts in ((5, [True]), (15, [True]), (100, [False]), (15, [False]), (5, [False, True])):
        bench.clock.advance(days=1)
        bench.oil(value)
        bench.run()
        assert sorted(is_open for _, _, is_open in bench.alerts()) == alerts
    assert len(bench.desk.proposed) == 2


def test_silence_is_unknown_and_keeps_the_alert(bench: Bench) -> None:
    bench.oil(5)
    bench.run()
    bench.clock.advance(days=13)
    assert bench.run() == 0
    bench.clock.advance(days=1)
    assert bench.run() == 1, "the silence itself makes the vehicle due"
    assert bench.rule_state("oil_life_low") == "unknown"
    assert bench.alerts() == [("oil_life_low", "", True)]
    assert bench.run() == 0
    bench.oil(6)
    bench.run()
    assert bench.rule_state("oil_life_low") == "firing"
    assert len(bench.alerts()) == 1


def test_old_data_of_a_backlog_does_not_fire(bench: Bench) -> None:
    bench.oil(5, at=NOW - 60 * DAY)
    bench.run()
    assert bench.alerts() == []
    assert bench.rule_state("oil_life_low") == "unknown"


def test_a_restart_keeps_timers(bench: Bench) -> None:
    bench.coolant(120)
    bench.run()
    assert bench.rule_state("engine_hot") == "pending"
    bench.clock.advance(minutes=9)
    bench.coolant(120)
    with closing(connect(bench.config.database_url, autocommit=True)) as after_restart:
        run_once(after_restart, bench.config)
        assert bench.alerts() == []
        bench.clock.advance(minutes=1)
        bench.coolant(120)
        run_once(after_restart, bench.config)
    assert bench.alerts() == [("engine_hot", "", True)]


def test_codes_are_episodes_of_their_own(bench: Bench) -> None:
    bench.code("P0301")
    bench.code("P0420")
    bench.run()
    bench.code("P0301", EventKind.DTC_CLEARED)
    bench.run()
    assert bench.alerts() == [("trouble_code_confirmed", "P0301", False), ("trouble_code_confirmed", "P0420", True)]
    bench.code("P0301")
    bench.run()
    assert len(bench.alerts()) == 3


def test_a_second_alert_of_the_same_job_needs_no_second_visit(bench: Bench) -> None:
    bench.oil(5)
    bench.run()
    alert = list_alerts(bench.connection)[0]
    book(bench.connection, bench.car, alert.id, job="diagnosis", start=NOW + DAY)
    bench.code("P0301")
    bench.run()
    assert bench.desk.proposed == [alert.id]
    assert len(bench.desk.announced) == 1


def test_alert_booking_and_message_are_committed_together(bench: Bench) -> None:
    add_workshop(bench.connection, jobs=["oil_change"], webhook_url=None)
    config = replace(bench.config, propose=desk.propose_booking, announce=desk.announce_alert)
    bench.oil(5)
    run_once(bench.connection, config)
    bench.oil(4)
    run_once(bench.connection, config)
    row = bench.connection.execute(
        """
        SELECT count(*), min(booking.state), min(booking.job),
               (SELECT count(*) FROM outgoing WHERE outgoing.kind = 'owner_message')
        FROM booking JOIN alert ON alert.id = booking.alert_id
        """
    ).fetchone()
    assert row == (1, "proposed", "oil_change", 1)


def test_a_slot_nobody_answers_for_is_given_back_by_the_loop(bench: Bench) -> None:
    add_workshop(bench.connection, jobs=["oil_change"], webhook_url=None)
    config = replace(bench.config, propose=desk.propose_booking, announce=desk.announce_alert)
    bench.oil(5)
    run_once(bench.connection, config)
    bench.clock.advance(days=2)
    with running_engine(config):
        wait_for(lambda: bench.connection.execute("SELECT state FROM booking").fetchall() == [("expired",)])


def test_the_loop_works_until_it_is_stopped_and_survives_a_lost_connection(bench: Bench) -> None:
    with running_engine(bench.config) as engine:
        bench.oil(5)
        wait_for(lambda: len(bench.alerts()) == 1)
        bench.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'wearcast rules' AND datname = current_database()"
        )
        bench.code("P0301")
        wait_for(lambda: len(bench.alerts()) == 2)
    assert not engine.is_alive()
