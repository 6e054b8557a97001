"""Forecasts, explanations and back-tests from what is stored."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from rules.alerts import explain, list_alerts, read_alert
from rules.backtest import backtest
from rules.errors import AlertNotFoundError
from rules.rule import rulebook
from telemetry.records import (
    Quantity,
)
from tests.integration.rules_bench import (
    DAY,
    NOW,
    Bench,
)

pytestmark = pytest.mark.database


def test_a_forecast_is_made_from_the_stored_curve(bench: Bench) -> None:
    rows = [(NOW - (100 - day) * DAY, 91 - 0.1 * day) for day in range(101)]
    with bench.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO estimate VALUES (%s, %s, 'traction_battery_soh', '', %s, %s, %s, 'estimated', 'test/1')",
            [(time, bench.car, value, value - 1, value + 1) for time, value in rows],
        )
    bench.estimate(Quantity.TRACTION_BATTERY_SOH, 81.0)
    bench.run()
    assert bench.alerts() == [("traction_battery_soh_forecast", "", True)]
    alert = list_alerts(bench.connection)[0]
    assert "March 2026" in alert.text_en
    due_at = bench.progress()[1]
    assert due_at == NOW + DAY, "a forecast is looked at again the next day"


def test_an_alert_can_be_explained(bench: Bench) -> None:
    bench.oil(5)
    bench.run()
    alert = list_alerts(bench.connection)[0]
    why = explain(bench.connection, alert.id)
    assert why.condition == "estimate.oil_life.value < limit"
    assert why.limit == 10
    assert why.rule_is_current
    assert why.held_since == NOW
    (seen,) = why.inputs
    assert (seen.name, seen.time, seen.source, seen.method) == ("estimate.oil_life", NOW, "estimated", "test/1")
    assert seen.fields["value"] == 5
    bench.clock.advance(days=1)
    bench.oil(100)
    bench.run()
    closed = read_alert(bench.connection, alert.id)
    assert closed.closed_at == bench.clock.now
    assert closed.evidence["closed_by"]["estimate.oil_life"]["fields"]["value"] == 100


def test_an_unknown_alert_is_named(bench: Bench) -> None:
    with pytest.raises(AlertNotFoundError, match="there is no alert"):
        explain(bench.connection, UUID(int=0))


def test_backtest_over_stored_history(bench: Bench) -> None:
    with bench.connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO estimate VALUES (%s, %s, 'oil_life', '', %s, %s, %s, 'estimated', 'test/1')",
            [(NOW - (60 - day) * DAY, bench.car, v, v, v) for day in range(60) if (v := 50 - day if day < 45 else 100)],
        )
        cursor.executemany(
            "INSERT INTO reading (time, vehicle_id, tire_pressure_row1_left) VALUES (%s, %s, %s)",
            [(NOW - 3 * DAY + timedelta(hours=hour), bench.car, 230 - 2 * hour) for hour in range(73)],
        )
        cursor.executemany(
            "INSERT INTO vehicle_event (vehicle_id, time, kind, data) VALUES (%s, %s, %s, %s)",
            [
                (
                    bench.car,
                    NOW - 9 * DAY,
                    "dtc.appeared",
                    Jsonb({"code": "P0301", "ecu": "7E8", "status": "confirmed"}),
                ),
                (bench.car, NOW - 4 * DAY, "dtc.cleared", Jsonb({"code": "P0301", "ecu": "7E8"})),
            ],
        )
    rules = {rule.id: rule for rule in rulebook()}

    def episodes(rule_id: str) -> list[tuple[str, datetime, datetime | None]]:
        found = backtest(bench.connection, rules[rule_id], [bench.car], NOW - 60 * DAY, NOW)
        return [(firing.subject, firing.opened_at, firing.closed_at) for firing in found]

    assert episodes("oil_life_low") == [("", NOW - 19 * DAY, NOW - 15 * DAY)]
    assert episodes("trouble_code_confirmed") == [("P0301", NOW - 9 * DAY, NOW - 4 * DAY)]
    assert [subject for subject, _, _ in episodes("tire_losing_pressure")] == ["Row1.Left"]
    assert list_alerts(bench.connection) == [], "a backtest writes nothing"


def test_no_personal_data_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    bench.oil(5)
    bench.run()
    bench.spoil()
    bench.run()
    assert "alert" in caplog.text
    for secret in ("Ada", "Blue", "52.5", "13.4", bench.config.database_url):
        assert secret not in caplog.text
    assert bench.config.database_url not in repr(bench.config)
