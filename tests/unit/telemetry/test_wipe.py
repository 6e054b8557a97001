"""The wipe on the wire: what goes in comes out, and what is no wipe for this device is refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from telemetry.errors import WireError
from telemetry.wipe import (
    MAX_WIPE_BYTES,
    Wipe,
    WipeResult,
    decode_wipe,
    decode_wipe_result,
    encode_wipe,
    encode_wipe_result,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
WIPE = Wipe(id=UUID(int=7), device="car-1", generation=2, issued=NOW, expires=NOW + timedelta(days=30))
RESULT = WipeResult(id=UUID(int=7), device="car-1", state="wiped", time=NOW, batches=3, files=2)


def test_round_trips() -> None:
    assert decode_wipe("car-1", encode_wipe(WIPE)) == WIPE
    assert decode_wipe_result("car-1", encode_wipe_result(RESULT)) == RESULT
    refused = WipeResult(id=UUID(int=7), device="car-1", state="refused", time=NOW, refusal="expired")
    assert decode_wipe_result("car-1", encode_wipe_result(refused)) == refused


@pytest.mark.parametrize(
    "change",
    [
        {"device": "car-2"},
        {"device": None},
        {"schema": "wearcast.command/1"},
        {"generation": -1},
        {"generation": "2"},
        {"expires": NOW.isoformat()},
        {"issued": "2026-06-01T12:00:00"},
        {"id": "7"},
    ],
)
def test_what_is_no_wipe_for_this_device_is_refused(change: dict[str, Any]) -> None:
    document = json.loads(encode_wipe(WIPE)) | change
    with pytest.raises(WireError):
        decode_wipe("car-1", json.dumps(document).encode())


def test_a_wipe_always_says_for_which_device_it_is() -> None:
    document = json.loads(encode_wipe(WIPE))
    del document["device"]
    with pytest.raises(WireError, match="for which device"):
        decode_wipe("car-1", json.dumps(document).encode())


@pytest.mark.parametrize(
    "change", [{"refusal": "expired"}, {"state": "refused"}, {"state": "refused", "refusal": "Ada's car"}]
)
def test_an_answer_says_nothing_but_what_the_list_has(change: dict[str, Any]) -> None:
    document = json.loads(encode_wipe_result(RESULT)) | change
    with pytest.raises(WireError):
        decode_wipe_result("car-1", json.dumps(document).encode())


def test_neither_is_long() -> None:
    padded = b" " * MAX_WIPE_BYTES + encode_wipe(WIPE)
    with pytest.raises(WireError, match="bytes are more"):
        decode_wipe("car-1", padded)
