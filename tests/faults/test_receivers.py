"""What a receiver does to messages, it does to as many as it was told, and counts."""

import json
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from tests.faults.receivers import Receivers
from tests.faults.wire import Wires

BODY = json.dumps({"title": "A title", "message": "A text"}).encode()


def test_as_many_answers_are_lost_as_were_to_be_however_many_come_at_once() -> None:
    with Receivers("whsec_d2VhcmNhc3QtdGVzdA==", "a secret of this test") as receivers, Wires().running() as wires:
        receivers.wire = wires.wire(list)
        receivers.loses_answers = 2
        with ThreadPoolExecutor(8) as senders:
            statuses = list(senders.map(lambda _: receivers.take("/owner/ada", {}, BODY), range(8)))
    assert statuses == [HTTPStatus.OK] * 8
    assert (receivers.loses_answers, receivers.disturbed, receivers.taken) == (0, 2, 8)


def test_what_fails_is_not_taken_and_what_is_refused_is_not_disturbed() -> None:
    with Receivers("whsec_d2VhcmNhc3QtdGVzdA==", "a secret of this test") as receivers:
        receivers.fails = True
        assert receivers.take("/owner/ada", {}, BODY) is HTTPStatus.INTERNAL_SERVER_ERROR
        receivers.fails, receivers.loses_answers = False, 1
        assert receivers.take("/workshop/workshop", {}, BODY) is HTTPStatus.UNAUTHORIZED
    assert (receivers.loses_answers, receivers.disturbed, receivers.taken) == (1, 1, 0)
