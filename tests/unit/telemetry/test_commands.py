"""Commands and answers survive the wire; anything else is refused with its reason."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from telemetry.commands import (
    MAX_RESULT_BYTES,
    Command,
    CommandKind,
    CommandResult,
    decode_command,
    decode_result,
    encode_command,
    encode_result,
)
from telemetry.errors import WireError
from telemetry.topics import command_of, commands_topic

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
COMMAND = Command(
    id=uuid4(), device="d1", kind=CommandKind.LIVE, issued=NOON, expires=NOON + timedelta(seconds=30), seconds=20
)
RESULT = CommandResult(
    id=COMMAND.id, device="d1", kind=CommandKind.LIVE, state="part", time=NOON, part=3, data={"values": {"a": 1.5}}
)


def test_both_survive_the_wire() -> None:
    assert decode_command("d1", "live", encode_command(COMMAND)) == COMMAND
    assert decode_result("d1", "live", encode_result(RESULT)) == RESULT


def test_the_topic_names_the_command() -> None:
    assert command_of("d1", commands_topic("d1", "live")) == "live"
    assert command_of("d2", commands_topic("d1", "live")) is None


@pytest.mark.parametrize(
    ("change", "device", "kind", "reason"),
    [
        ({}, "d2", "live", "wrong-device"),
        ({}, "d1", "dtc", "malformed"),
        ({"kind": "clear"}, "d1", "clear", "malformed"),
        ({"schema": "wearcast.command/2"}, "d1", "live", "wrong-schema"),
        ({"seconds": 1e9}, "d1", "live", "malformed"),
        ({"expires": "2026-06-01T12:00:00"}, "d1", "live", "malformed"),
        ({"expires": "2026-06-01T11:00:00Z"}, "d1", "live", "malformed"),
        ({"padding": "x" * 5000}, "d1", "live", "oversized"),
    ],
)
def test_what_is_no_command_of_this_device(change: dict[str, object], device: str, kind: str, reason: str) -> None:
    document = msgspec.json.decode(encode_command(COMMAND), type=dict[str, object]) | change
    with pytest.raises(WireError) as caught:
        decode_command(device, kind, msgspec.json.encode(document))
    assert caught.value.reason == reason


def test_an_answer_nested_too_deep_is_refused() -> None:
    nest: dict[str, object] = {}
    for _ in range(20):
        nest = {"in": nest}
    document = msgspec.json.decode(encode_result(RESULT), type=dict[str, object]) | {"data": nest}
    with pytest.raises(WireError, match="deeper"):
        decode_result("d1", "live", msgspec.json.encode(document))


def test_an_answer_too_large_is_not_encoded() -> None:
    large = CommandResult(
        id=COMMAND.id, device="d1", kind=CommandKind.DTC, state="done", time=NOON, data={"x": "y" * MAX_RESULT_BYTES}
    )
    with pytest.raises(ValueError, match="send it in parts"):
        encode_result(large)
