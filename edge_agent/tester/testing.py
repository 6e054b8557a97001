"""The tester's in-memory twin: ECUs by script. For unit tests, and for trying what stands on the port."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from edge_agent.errors import SourceError
from edge_agent.obd.answers import NEGATIVE_RESPONSE, AnswerError
from edge_agent.tester.base import Exchange, IsoTpAddress, belongs, positive

Answer = Callable[[bytes], bytes | None]


class ScriptedTester:
    """Answers at once from functions by response identifier ("7E8"): payload in, payload out, None for silence.

    ``asked`` holds every request with whom it went to ("7DF" for all). ``gone``: the adapter was pulled out.
    """

    def __init__(self, ecus: Mapping[str, Answer], *, timeout_s: float = 0.2) -> None:
        self.ecus = dict(ecus)
        self.timeout_s = timeout_s
        self.unanswered = 0
        self.asked: list[tuple[str, bytes]] = []
        self.gone = False
        self.closed = False

    def functional(self, request: bytes, *, expected: AbstractSet[str] | None, enough: int | None = None) -> Exchange:
        """Ask every scripted ECU; foreign answers are named, not given."""
        del expected, enough  # everybody answers at once
        self._ask("7DF", request)
        exchange = Exchange()
        for ecu, answer in self.ecus.items():
            payload = answer(request)
            if payload is None:
                continue
            if belongs(request, payload):
                exchange.answers[ecu] = payload
            else:
                exchange.foreign = payload[:8].hex().upper()
        self.unanswered = 0 if exchange.answers else self.unanswered + 1
        return exchange

    def physical(self, address: IsoTpAddress, request: bytes) -> bytes:
        """Ask the ECU of that address."""
        self._ask(address.ecu, request)
        answer = self.ecus.get(address.ecu)
        payload = answer(request) if answer is not None else None
        if payload is None:
            self.unanswered += 1
            raise AnswerError(Exchange().reason(self.timeout_s))
        self.unanswered = 0
        if payload[0] != NEGATIVE_RESPONSE and not belongs(request, payload):
            raise AnswerError(Exchange(foreign=payload[:8].hex().upper()).reason(self.timeout_s))
        return positive(request, payload)

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True

    def _ask(self, whom: str, request: bytes) -> None:
        if self.gone:
            raise SourceError("the scripted adapter is gone; set gone to False")
        self.asked.append((whom, request))
