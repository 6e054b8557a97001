"""A tester that minds the car: asks no more than the bus can spare, gives slow ECUs time, asks busy ones again.

It stands before any other tester, so that whatever is asked through it counts.
"""

import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from edge_agent.obd.answers import BUSY, NEGATIVE_RESPONSE, AnswerError
from edge_agent.tester.base import LONGEST_PENDING_S, Connect, Exchange, IsoTpAddress, Tester
from edge_agent.tester.limits import Limits, Load, Patience, frames_of

_BUSY_PAUSE_S = 0.1  # before an ECU that said NRC 0x21 is asked again
_BUSY_REPEATS = 3
_ANYBODY = "anybody"


class PoliteTester:
    """Asks through ``tester`` within ``limits``. Its own sleeps are bounded by them."""

    def __init__(
        self,
        tester: Tester,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._tester = tester
        self._clock = clock
        self._sleep = sleep
        self._load = Load(limits, clock())
        self._patience = Patience(tester.timeout_s)

    @property
    def timeout_s(self) -> float:
        """Time the last request was given."""
        return self._tester.timeout_s

    @timeout_s.setter
    def timeout_s(self, seconds: float) -> None:
        self._patience = Patience(seconds)
        self._tester.timeout_s = seconds

    @property
    def unanswered(self) -> int:
        """See :class:`edge_agent.tester.base.Tester`."""
        return self._tester.unanswered

    @unanswered.setter
    def unanswered(self, count: int) -> None:
        self._tester.unanswered = count

    def functional(self, request: bytes, *, expected: AbstractSet[str] | None, enough: int | None = None) -> Exchange:
        """See :class:`edge_agent.tester.base.Tester`; an ECU that is busy is asked again, and what others said kept."""
        ends = self._clock() + LONGEST_PENDING_S
        exchange = self._functional(request, expected, enough)
        for _ in range(_BUSY_REPEATS):
            if self._clock() >= ends:  # one that asked for patience before it was busy is not given it four times
                break
            busy = {ecu for ecu, payload in exchange.answers.items() if _is_busy(payload)}
            if not busy:
                break
            self._sleep(_BUSY_PAUSE_S)
            again = self._functional(request, busy, enough)
            exchange.answers.update({ecu: again.answers[ecu] for ecu in busy & again.answers.keys()})
        return exchange

    def physical(self, address: IsoTpAddress, request: bytes) -> bytes:
        """See :class:`edge_agent.tester.base.Tester`; an ECU that is busy is asked again."""
        ends = self._clock() + LONGEST_PENDING_S
        for _ in range(_BUSY_REPEATS):
            try:
                return self._physical(address, request)
            except AnswerError as error:
                if not error.busy or self._clock() >= ends:
                    raise
            self._sleep(_BUSY_PAUSE_S)
        return self._physical(address, request)

    def close(self) -> None:
        """Let go of the adapter."""
        self._tester.close()

    def _functional(self, request: bytes, expected: AbstractSet[str] | None, enough: int | None) -> Exchange:
        asked = expected or {_ANYBODY}
        started = self._begin(self._patience.given_s(_keys(asked, request)))
        exchange = self._tester.functional(request, expected=expected, enough=enough)
        took_s = self._clock() - started
        answers = exchange.answers
        self._end(request, list(answers.values()), any(len(ecu) > 3 for ecu in answers))
        answered = asked & answers.keys() if expected else asked if answers else set()
        for key in _keys(answered, request):
            # who answered while others were waited for took less than all the time
            self._patience.answered(key, took_s if expected and answered == asked else 0.0)
        if enough is None or not answers:
            for key in _keys(asked - answered, request):
                self._patience.silent(key)
        return exchange

    def _physical(self, address: IsoTpAddress, request: bytes) -> bytes:
        (key,) = _keys({address.ecu}, request)
        started = self._begin(self._patience.given_s((key,)))
        before = self._tester.unanswered
        answer = b""
        try:
            answer = self._tester.physical(address, request)
        except AnswerError:
            if self._tester.unanswered > before:
                self._patience.silent(key)
            raise
        finally:
            self._end(request, [answer], address.receive_id > 0x7FF)
        self._patience.answered(key, self._clock() - started)
        return answer

    def _begin(self, timeout_s: float) -> float:
        wait_s = self._load.wait_s(self._clock())
        if wait_s > 0:
            self._sleep(wait_s)
        self._tester.timeout_s = timeout_s
        return self._clock()

    def _end(self, request: bytes, answers: list[bytes], extended: bool) -> None:
        frames = frames_of(len(request)) + sum(frames_of(len(answer)) for answer in answers)
        self._load.used(self._clock(), frames, identifier_bits=29 if extended else 11)


def politely(connect: Connect, limits: Limits) -> Connect:
    """The same connector, of testers that keep within these limits."""

    def connected(addresses: Sequence[IsoTpAddress], identifier_bits: int) -> Tester:
        return PoliteTester(connect(addresses, identifier_bits), limits)

    return connected


def _keys(ecus: AbstractSet[str], request: bytes) -> list[str]:
    """What patience is learned for: an ECU that never answers one thing must not slow down all it is asked."""
    return [f"{ecu} {request[:3].hex()}" for ecu in ecus]


def _is_busy(payload: bytes) -> bool:
    return payload[:1] == bytes((NEGATIVE_RESPONSE,)) and payload[2:3] == bytes((BUSY,))
