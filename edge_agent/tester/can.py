"""Asks ECUs on a CAN bus: functional requests as single frames, everything else over ISO 15765-2."""

import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet

import can

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.can_interfaces import remedy
from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.isotp_link import IsoTpLink
from edge_agent.obd.answers import NEGATIVE_RESPONSE, AnswerError, is_response_pending
from edge_agent.tester.base import (
    LONGEST_PENDING_S,
    PENDING_TIMEOUT_S,
    Exchange,
    IsoTpAddress,
    answers_to_all,
    belongs,
    positive,
)

FUNCTIONAL_11_BIT, FUNCTIONAL_29_BIT = 0x7DF, 0x18DB33F1  # ISO 15765-4
_ANSWERS_29_BIT = {"can_id": 0x18DAF100, "can_mask": 0x1FFFFF00, "extended": True}
_MULTI_FRAME_TIMEOUT_S = 1.0  # N_Cr of ISO 15765-2
_LONGEST_LOOK_S = 0.05  # of one wait for frames
_SHORTEST_LOOK_S = 0.005
_LONGEST_SINGLE = 7  # bytes a functional request may have


class CanTester:
    """A tester on a bus it owns; errors of the bus are SourceErrors that name it and say what to do."""

    def __init__(
        self,
        bus: can.BusABC,
        link: IsoTpLink,
        *,
        config: CanBusConfig,
        functional_id: int | None,
        timeout_s: float,
        cautious: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``functional_id``: identifier that asks all OBD ECUs; None: 11 bits, then 29, until somebody answers.

        ``cautious``: the bit rate may be wrong; the first error frame ends a question to all.
        ``clock``: seconds, monotonic, the same as that of ``link``.
        """
        self._bus: can.BusABC | None = bus
        self._link = link
        self._config = config
        self._functional_id = functional_id
        self._cautious = cautious
        self._clock = clock
        self.timeout_s = timeout_s
        self.unanswered = 0

    @classmethod
    def open(
        cls,
        config: CanBusConfig,
        addresses: Iterable[IsoTpAddress],
        *,
        functional_id: int | None = FUNCTIONAL_11_BIT,
        timeout_s: float = 0.2,
        stmin_ms: int = 1,
        cautious: bool = False,
        open_bus: Callable[[CanBusConfig], can.BusABC] = open_can_bus,
        clock: Callable[[], float] = time.monotonic,
    ) -> "CanTester":
        """Open the bus and let through only the answers of ``addresses``, and of any ECU with 29-bit identifiers.

        ``timeout_s``: P2 of ISO 15765-4 is 50 ms; gateways and Python need more.
        """
        if timeout_s <= 0:
            raise ConfigurationError(f"the timeout is {timeout_s:g} s; give a time above 0, 200ms suits most cars")
        bus = open_bus(config)
        link = IsoTpLink(bus, addresses, stmin_ms=stmin_ms, learn=True, clock=clock)
        tester = cls(
            bus,
            link,
            config=config,
            functional_id=functional_id,
            timeout_s=timeout_s,
            cautious=cautious,
            clock=clock,
        )
        tester._filter()
        return tester

    @property
    def identifier_bits(self) -> int | None:
        """Length of the identifiers by which the car is asked; None while nobody has answered."""
        return None if self._functional_id is None else 29 if self._functional_id > 0x7FF else 11

    @property
    def _must_stop(self) -> bool:
        """Whether a cautious tester has met an error frame: nothing more is sent."""
        return self._cautious and self._link.error_frames > 0

    @property
    def error_frames(self) -> int:
        """Error frames the adapter has reported since it was opened."""
        return self._link.error_frames

    def functional(self, request: bytes, *, expected: AbstractSet[str] | None, enough: int | None = None) -> Exchange:
        """See :class:`edge_agent.tester.base.Tester`."""
        if len(request) > _LONGEST_SINGLE:
            raise ValueError(f"a request to all ECUs is one frame of up to 7 bytes, these are {len(request)}")
        try:
            exchange = self._functional(self._functional_id or FUNCTIONAL_11_BIT, request, expected, enough)
            used = FUNCTIONAL_11_BIT
            if self._functional_id is None and not exchange.answers and not self._must_stop:
                used = FUNCTIONAL_29_BIT
                exchange = self._functional(used, request, expected, enough)
            if self._functional_id is None and exchange.answers:
                self._functional_id = used
        except (can.CanError, OSError) as error:
            raise self._gone(error) from error
        self.unanswered = 0 if exchange.answers else self.unanswered + 1
        return exchange

    def physical(self, address: IsoTpAddress, request: bytes) -> bytes:
        """See :class:`edge_agent.tester.base.Tester`."""
        try:
            if address not in self._link.addresses:
                self._link.add(address)
                self._filter()
            return self._physical(address, request)
        except (can.CanError, OSError) as error:
            raise self._gone(error) from error

    def close(self) -> None:
        """Let go of the bus."""
        if self._bus is not None:
            self._bus.shutdown()
        self._bus = None

    def _functional(
        self, identifier: int, request: bytes, expected: AbstractSet[str] | None, enough: int | None
    ) -> Exchange:
        self._link.forget()
        self._link.send_frame(identifier, request)
        exchange = Exchange()
        wait = _Wait(self._link, self.timeout_s, self._clock)
        patient: set[str] = set()  # ECUs that asked for patience and have not answered yet
        for arrived in wait.looks():
            for address, payload in arrived:
                if is_response_pending(request, payload):
                    patient.add(address.ecu)
                    wait.longer()
                elif answers_to_all(address.receive_id) and belongs(request, payload):
                    exchange.answers.setdefault(address.ecu, payload)
                    if address.ecu in patient:
                        patient.remove(address.ecu)
                        if not patient:
                            wait.no_longer()
                else:
                    exchange.foreign = payload[:8].hex().upper()
            if self._must_stop:
                break
            complete = bool(expected) and exchange.answers.keys() >= (expected or set())
            good = sum(payload[0] != NEGATIVE_RESPONSE for payload in exchange.answers.values())
            if complete or (enough is not None and good >= enough):
                break
        return exchange

    def _physical(self, address: IsoTpAddress, request: bytes) -> bytes:
        self._link.forget()
        self._link.send(address, request)
        wait = _Wait(self._link, self.timeout_s, self._clock)
        foreign: str | None = None
        pending = False
        for arrived in wait.looks():
            for sender, payload in arrived:
                if sender != address:
                    continue
                if is_response_pending(request, payload):
                    pending = True
                    wait.longer()
                elif belongs(request, payload):
                    self.unanswered = 0
                    return positive(request, payload)
                else:
                    foreign = payload[:8].hex().upper()
        self.unanswered = 0 if pending or foreign else self.unanswered + 1
        if pending:
            raise AnswerError(f"asked for patience (NRC 0x78) and gave no answer in {wait.waited_s:.0f} s")
        raise AnswerError(Exchange(foreign=foreign).reason(self.timeout_s))

    def _filter(self) -> None:
        if self._bus is None or self._cautious:  # some interfaces filter error frames away
            return
        named = [
            {"can_id": a.receive_id, "can_mask": 0x1FFFFFFF, "extended": True}
            if a.receive_id > 0x7FF
            else {"can_id": a.receive_id, "can_mask": 0x7FF, "extended": False}
            for a in self._link.addresses
            if a.receive_id & 0x1FFFFF00 != _ANSWERS_29_BIT["can_id"]
        ]
        self._bus.set_filters([*named, _ANSWERS_29_BIT])  # type: ignore[list-item]  # python-can's two kinds of filter

    def _gone(self, error: Exception) -> SourceError:
        help_with_it = remedy(self._config.interface, self._config.channel, error)
        return SourceError(f"{self._config.name} is gone ({error}); check the cable and the interface: {help_with_it}")


class _Wait:
    """How long one question is waited for: P2, longer while an answer comes in parts or an ECU asks for patience."""

    def __init__(self, link: IsoTpLink, timeout_s: float, clock: Callable[[], float]) -> None:
        self._link = link
        self._timeout_s = timeout_s
        self._clock = clock
        self._started = clock()
        self._deadline = self._started + timeout_s

    @property
    def over(self) -> bool:
        now = self._clock()
        parts = self._link.receiving() and now < max(self._deadline, self._started) + _MULTI_FRAME_TIMEOUT_S
        return now >= self._deadline and not parts

    @property
    def waited_s(self) -> float:
        return self._clock() - self._started

    def longer(self) -> None:
        """After NRC 0x78: P2* from now, and no longer than an ECU may be trusted to mean it."""
        self._deadline = min(max(self._deadline, self._clock() + PENDING_TIMEOUT_S), self._started + LONGEST_PENDING_S)

    def no_longer(self) -> None:
        """All that asked for patience have answered: only P2 is left, for those that did not."""
        self._deadline = min(self._deadline, self._started + self._timeout_s)

    def looks(self) -> Iterator[list[tuple[IsoTpAddress, bytes]]]:
        """What has arrived, look by look, until the time is over.

        The last look comes after that: on a busy machine this process may have stood still while the answer lay ready.
        """
        over = False
        while not over:
            late = self.over
            yield self._link.pump(0) if late else self._arrived()
            over = late and self.over

    def _arrived(self) -> list[tuple[IsoTpAddress, bytes]]:
        left_s = self._deadline - self._clock()
        return self._link.pump(min(max(left_s, _SHORTEST_LOOK_S), _LONGEST_LOOK_S))
