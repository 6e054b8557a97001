"""The receiver judges as a workshop's system should: signatures, ages, repetitions, sizes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from rules.delivery.receiver import Receiver
from rules.delivery.webhook import signed_headers

SECRET = "whsec_d2VhcmNhc3QtdGVzdC1zZWNyZXQ="  # noqa: S105 - of this test alone
OTHER = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhhdA=="
BODY = b'{"id": "k"}'


def post(receiver: Receiver, path: str, body: bytes = BODY, headers: dict[str, str] | None = None) -> int:
    with httpx.Client(trust_env=False, timeout=60) as client:
        return client.post(receiver.url + path, content=body, headers=headers).status_code


def signed(key: str = "k", *, secret: str = SECRET, age: timedelta = timedelta()) -> dict[str, str]:
    return signed_headers(secret, key=key, now=datetime.now(UTC) - age, body=BODY)


def test_a_signed_webhook_is_kept_once(tmp_path: Path) -> None:
    file = tmp_path / "taken.jsonl"
    with Receiver({"werk": SECRET}, file=file) as receiver:
        assert [post(receiver, "/workshop/werk", headers=signed()) for _ in range(3)] == [200, 200, 200]
        assert post(receiver, "/workshop/werk", headers=signed("another")) == 200
        assert [item.id for item in receiver.received] == ["k", "another"]
        assert (receiver.repeated, receiver.refused) == (2, 0)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["k", "another"]
    assert lines[0]["body"] == {"id": "k"}


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-signature": "v1,!"},
        {"webhook-signature": "nonsense"},
        {"webhook-signature": ""},
        {"webhook-timestamp": "yesterday"},
        {"webhook-id": "another"},
    ],
)
def test_what_is_changed_is_refused(change: dict[str, str]) -> None:
    with Receiver({"werk": SECRET}) as receiver:
        assert post(receiver, "/workshop/werk", headers={**signed(), **change}) == 401
        assert (receiver.received, receiver.refused) == ((), 1)


@pytest.mark.parametrize("secret", [None, OTHER])
def test_what_is_not_signed_by_us_is_refused(secret: str | None) -> None:
    with Receiver({"werk": SECRET}) as receiver:
        headers = {} if secret is None else signed(secret=secret)
        assert post(receiver, "/workshop/werk", headers=headers) == 401
        assert (receiver.received, receiver.refused) == ((), 1)


@pytest.mark.parametrize("age", [timedelta(minutes=6), timedelta(minutes=-6)])
def test_an_old_or_early_signature_is_refused(age: timedelta) -> None:
    with Receiver({"werk": SECRET}) as receiver:
        assert post(receiver, "/workshop/werk", headers=signed(age=age)) == 401


def test_strangers_and_nonsense_are_refused() -> None:
    with Receiver({"werk": SECRET}) as receiver:
        assert post(receiver, "/workshop/unknown", headers=signed()) == 404
        assert post(receiver, "/elsewhere") == 404
        assert post(receiver, "/owner/ada", b"no json") == 400
        assert post(receiver, "/owner/ada", b"[1]") == 400
        assert post(receiver, "/owner/ada", b"x" * (1024 * 1024 + 1)) == 413
        assert post(receiver, "/owner/ada") == 200
        assert len(receiver.received) == 1


def test_a_sender_that_goes_away_is_no_error_and_a_bug_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Receiver({}) as receiver:
        for error, is_told in ((ConnectionResetError(), False), (BrokenPipeError(), False), (KeyError("a bug"), True)):
            try:
                raise error
            except (OSError, KeyError):
                receiver._server.handle_error(None, ("127.0.0.1", 9))
            assert bool(capsys.readouterr().err) == is_told
