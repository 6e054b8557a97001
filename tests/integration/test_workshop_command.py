"""A workshop set up from the command line alone can be booked."""

import json
from datetime import UTC, datetime, time

import pytest
from typer.testing import CliRunner

from ingest.database import Connection
from rules.booking import calendars
from rules.booking.errors import BookingError
from wearcast.cli import app
from wearcast.commands.workshops import _hours, _price

pytestmark = pytest.mark.database
NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)  # a Monday


def test_a_workshop_set_up_by_commands_has_slots(database_url: str, connection: Connection) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, env={"WEARCAST_DATABASE_URL": database_url})
        assert result.exit_code == 0, result.output
        return result.output.strip()

    workshop = run("ingest", "workshop", "add", "Nord", "--position", "48.8", "9.2", "--email", "nord@example.org")
    run("rules", "workshop", "bay", workshop, "Bay 1", "--skill", "mechanical", "--skill", "electrical")
    run("rules", "workshop", "hours", workshop, "1-5=08:00-12:00", "1-5=13:00-17:30", "6=09:00-12:00")
    run(
        "rules", "workshop", "job", workshop, "oil_change",
        "--skill", "mechanical", "--hours", "1.5", "--price", "129.50",
    )  # fmt: skip
    run("rules", "workshop", "close", workshop, "2026-12-24")
    (row,) = json.loads(run("rules", "workshop", "show", workshop, "--json"))
    assert (row["job"], row["hours"], row["bays"], row["price"]) == ("oil_change", 1.5, ["Bay 1"], 129.5)
    (found,) = calendars.candidates(
        connection, job="oil_change", place=(48.8, 9.2), radius_km=10, limit=5, now=NOW,
        latest=NOW.replace(day=9),
    )  # fmt: skip
    assert len(found.calendar.hours) == 11
    assert str(found.price) == "129.50"
    assert (connection.execute("SELECT day::text FROM workshop_closure").fetchall()) == [("2026-12-24",)]


def test_an_unknown_workshop_is_named(database_url: str) -> None:
    unknown = "00000000-0000-0000-0000-000000000001"
    result = CliRunner().invoke(
        app, ["rules", "workshop", "hours", unknown, "1=08:00-12:00"], env={"WEARCAST_DATABASE_URL": database_url}
    )
    assert result.exit_code == 1
    assert f"there is no workshop {unknown}" in str(result.exception)


def test_hours_are_read_as_written() -> None:
    assert _hours("1-5=08:00-17:30") == (range(1, 6), time(8), time(17, 30))
    assert _hours("7=10:00-12:00") == (range(7, 8), time(10), time(12))


@pytest.mark.parametrize("text", ["", "1-5", "5-1=08:00-12:00", "8=08:00-12:00", "1=12:00-08:00", "1=25:00-26:00"])
def test_wrong_hours_say_how(text: str) -> None:
    with pytest.raises(BookingError, match="1-5=08:00-18:00"):
        _hours(text)


@pytest.mark.parametrize("text", ["cheap", "NaN", "Infinity", "1e9"])
def test_a_price_is_a_number(text: str) -> None:
    with pytest.raises(BookingError, match=r"129\.00"):
        _price(text)
