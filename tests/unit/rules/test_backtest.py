from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from rules.backtest import CodeChange, History, replay
from rules.context import Reading, TroubleCode, VehicleContext
from rules.errors import RulesError
from rules.rule import rulebook
from telemetry.records import Quantity

START = datetime(2025, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FACTS = VehicleContext(vehicle_id=UUID(int=1))
RULES = {rule.id: rule for rule in rulebook()}


def curve(values: list[float]) -> list[Reading]:
    return [
        Reading(
            time=START + number * DAY,
            fields={"value": value, "low": value, "high": value, "source": "estimated"},
            source="estimated",
        )
        for number, value in enumerate(values)
    ]


def history(quantity: Quantity, values: list[float], position: str = "") -> History:
    return History(facts=FACTS, estimates={(quantity, position, "estimated"): curve(values)})


def test_two_oil_changes_are_two_episodes() -> None:
    values = [40 - day for day in range(40)] + [100 - day for day in range(100)] + [100.0] * 3
    firings = replay(
        RULES["oil_life_low"], history(Quantity.OIL_LIFE, [float(v) for v in values]), START, START + 142 * DAY, DAY
    )
    assert [(f.opened_at, f.closed_at) for f in firings] == [
        (START + 31 * DAY, START + 40 * DAY),
        (START + 131 * DAY, START + 140 * DAY),
    ]
    assert firings[0].rule_version == RULES["oil_life_low"].version


def test_silence_at_the_end_leaves_the_episode_open() -> None:
    firings = replay(RULES["oil_life_low"], history(Quantity.OIL_LIFE, [20, 9]), START, START + 60 * DAY, DAY)
    assert [(f.opened_at, f.closed_at) for f in firings] == [(START + DAY, None)]


def test_nothing_is_known_before_it_was_measured() -> None:
    late = History(
        facts=FACTS,
        estimates={(Quantity.OIL_LIFE, "", "estimated"): curve([5.0])},
    )
    firings = replay(RULES["oil_life_low"], late, START - 10 * DAY, START + DAY, DAY)
    assert [f.opened_at for f in firings] == [START]


def test_a_forecast_sees_only_the_past() -> None:
    falling = [90 - 0.1 * day for day in range(150)]  # crosses 80 % on day 100
    firings = replay(
        RULES["traction_battery_soh_forecast"],
        history(Quantity.TRACTION_BATTERY_SOH, falling),
        START,
        START + 149 * DAY,
        DAY,
    )
    assert len(firings) == 1
    ahead = START + 100 * DAY - firings[0].opened_at
    assert timedelta(days=30) <= ahead <= timedelta(days=45)
    assert firings[0].closed_at is None


def test_wheels_are_subjects() -> None:
    firings = replay(
        RULES["brake_pads_worn"], history(Quantity.PAD_WEAR, [80, 90, 91], "Row2.Left"), START, START + 2 * DAY, DAY
    )
    assert [f.subject for f in firings] == ["Row2.Left"]


def test_codes_come_and_go() -> None:
    def entry(day: int) -> TroubleCode:
        moment = START + day * DAY
        return TroubleCode(status="confirmed", ecu="7E8", mil=True, first_seen=moment, last_seen=moment)

    changes = [
        CodeChange(time=START + 2 * DAY, code="P0301", ecu="7E8", entry=entry(2)),
        CodeChange(time=START + 5 * DAY, code="P0301", ecu="7E8", entry=None),
        CodeChange(time=START + 8 * DAY, code="P0301", ecu="7E8", entry=entry(8)),
    ]
    firings = replay(
        RULES["trouble_code_confirmed"], History(facts=FACTS, code_changes=changes), START, START + 10 * DAY, DAY
    )
    assert [(f.opened_at, f.closed_at) for f in firings] == [
        (START + 2 * DAY, START + 5 * DAY),
        (START + 8 * DAY, None),
    ]


def test_an_impossible_period_is_refused() -> None:
    empty = History(facts=FACTS)
    with pytest.raises(RulesError, match="is empty"):
        replay(RULES["oil_life_low"], empty, START, START - DAY, DAY)
    with pytest.raises(RulesError, match="gets nowhere"):
        replay(RULES["oil_life_low"], empty, START, START, timedelta())
