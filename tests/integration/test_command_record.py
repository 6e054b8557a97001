"""Who may ask a device something, and what the database keeps of it: no broker, no device."""

from datetime import timedelta

import pytest

from ingest import registry
from ingest.database import Connection
from ingest.outbound import commands
from telemetry.commands import CommandKind, CommandResult
from tests.integration.remote_support import DEVICE, NOW, OTHER, grant, issue, issued

pytestmark = pytest.mark.database


def test_who_may_ask_what(registered: Connection) -> None:
    token = grant(registered, CommandKind.DTC, device=DEVICE, days=2)
    assert issue(registered, token) is None
    assert "not known" in (issue(registered, "guessed") or "")
    assert f"for device {DEVICE} alone" in (issue(registered, token, device=OTHER) or "")
    assert "allows dtc, not live" in (issue(registered, token, kind=CommandKind.LIVE) or "")
    assert "expired" in (issue(registered, token, database_now=NOW + timedelta(days=2)) or "")
    assert issue(registered, token, now=NOW + timedelta(days=2), database_now=NOW) is None
    everywhere = grant(registered)
    assert "no device 'car-9'" in (issue(registered, everywhere, device="car-9") or "")
    registry.update_device(registered, OTHER, enabled=False)
    assert "disabled" in (issue(registered, everywhere, device=OTHER) or "")
    held = next(held for held in commands.grants(registered) if held.device_id == DEVICE)
    commands.revoke(registered, held.id, NOW)
    assert "revoked" in (issue(registered, token) or "")


def test_every_question_is_recorded_with_who_asked_and_no_token_is_kept(registered: Connection) -> None:
    token = grant(registered)
    issue(registered, token, now=NOW)
    issue(registered, "guessed", now=NOW + timedelta(seconds=1))
    denied, sent = commands.commands(registered)
    assert (sent.operator, sent.state, sent.device_id) == ("anna", "issued", DEVICE)
    assert (denied.operator, denied.state) == (None, "denied")
    rows = registered.execute("SELECT g::text FROM operator_grant g").fetchall()
    assert token not in str(rows)


def test_an_answer_after_the_last_one_and_of_another_device_changes_nothing(registered: Connection) -> None:
    command = issued(registered)

    def answer(device: str, state: str) -> None:
        commands.record(
            registered,
            CommandResult(id=command.id, device=device, kind=command.kind, state=state, time=NOW),  # type: ignore[arg-type]  # of the parameters
            NOW,
        )

    answer(OTHER, "done")
    assert commands.commands(registered)[0].state == "issued"
    answer(DEVICE, "accepted")
    answer(DEVICE, "done")
    answer(DEVICE, "failed")
    commands.give_up(registered, command, "too late", NOW)
    (entry,) = commands.commands(registered)
    assert (entry.state, entry.reason, entry.finished_at) == ("done", None, NOW)


def test_an_answer_with_characters_the_database_does_not_take_is_recorded_all_the_same(registered: Connection) -> None:
    command = issued(registered)
    data = {"trouble_codes": [{"code\0": "P03\x0001"}], "count": 1}
    commands.record(
        registered,
        CommandResult(
            id=command.id, device=DEVICE, kind=command.kind, state="failed", time=NOW, reason="no\0", data=data
        ),
        NOW,
    )
    (entry,) = commands.commands(registered)
    assert (entry.state, entry.reason) == ("failed", "no\ufffd")
    assert entry.answer == {"trouble_codes": [{"code\ufffd": "P03\ufffd01"}], "count": 1}


def test_a_command_whose_asker_was_killed_does_not_stay_open(registered: Connection) -> None:
    token = grant(registered)
    assert issue(registered, token) is None
    assert commands.close_abandoned(registered, NOW + timedelta(seconds=60)) == 0, "its asker may still be about it"
    assert commands.close_abandoned(registered, NOW + timedelta(seconds=66)) == 1
    (entry,) = commands.commands(registered)
    assert entry.state == "timed_out"
    assert "was gone" in (entry.reason or "")
