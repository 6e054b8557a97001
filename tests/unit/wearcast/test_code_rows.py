"""How a trouble code is shown on a terminal: drive on, soon or stop, with what the car kept of that moment."""

from health.signals import ENGINE_LOAD
from wearcast.car_tables import Language, code_row

MISFIRE = {"code": "P0301", "ecu": "7E8", "status": "confirmed", "warning_lamp": None}


def test_the_freeze_frame_counts() -> None:
    alone = code_row(MISFIRE, Language.EN)
    grave = code_row(MISFIRE, Language.EN, frame={ENGINE_LOAD.path: 90.0})
    assert (alone["urgency"], grave["urgency"]) == ("See to it soon", "Stop")
    assert "90 % load" in str(grave["why"])
    assert str(grave["what_to_do"]).startswith("Stop")


def test_what_did_not_fail_in_this_drive_hurries_less() -> None:
    assert code_row(MISFIRE, Language.EN)["severity"] == "urgent"
    assert code_row(MISFIRE, Language.EN, failed_this_cycle=False)["severity"] == "soon"


def test_in_chinese() -> None:
    row = code_row(MISFIRE | {"status": "pending"}, Language.ZH)
    assert row["urgency"] == "尽快检修"
    assert "仅检测到一次" in str(row["why"])


def test_a_status_of_a_later_version_is_taken_for_the_gravest() -> None:
    assert code_row(MISFIRE | {"status": "aged"}, Language.EN)["severity"] == "urgent"
