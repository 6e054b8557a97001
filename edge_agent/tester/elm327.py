"""Asks ECUs through an ELM327 adapter: USB serial, Bluetooth or Wi-Fi.

python-OBD holds the adapter in a process of its own (:mod:`edge_agent.tester.elm327_process`); what comes back is raw,
and counts only after it was checked frame by frame (:mod:`edge_agent.tester.elm327_text`) and for whose it is. What the
adapter is set to: :mod:`edge_agent.tester.elm327_session`.
"""

import logging
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.obd.answers import AnswerError, is_response_pending
from edge_agent.tester.base import (
    LONGEST_PENDING_S,
    Exchange,
    IsoTpAddress,
    answers_to_all,
    belongs,
    ecu_name,
    positive,
)
from edge_agent.tester.elm327_child import STALE
from edge_agent.tester.elm327_process import CONNECT_S, AdapterProcess, AdapterStuckError, LateReplyError
from edge_agent.tester.elm327_session import PATIENT, ElmSession, Timing
from edge_agent.tester.elm327_text import RESET, FrameLengths, Heard, hear

_log = logging.getLogger(__name__)

LONGEST_TIMEOUT_S: Final = PATIENT.timeout_s
_LONGEST_REQUEST: Final = 7  # bytes; ELM327 sends single frames only
_LINK_S: Final = 1.0  # over the adapter's own time: the link to it may doze
_FUNCTIONAL_S, _PHYSICAL_S = 5.0, 8.0  # of one reply: 4095 bytes at 38400 baud take 4 s
_SEARCH_S: Final = 12.0  # all protocols tried, one after the other
_SEARCH_PERIOD_S: Final = 10.0  # a car that is off is not searched for all the time
_DOUBT_AFTER: Final = 10  # silences, about a minute of a car that is asked now and then
_DOUBT_PERIOD_S: Final = 300.0  # between two searches then: they take seconds, and a car mostly just sleeps
_BUSY: Final = 0x21
_MOST_FRAMES: Final = 0xF  # the number of expected frames is one hex digit
_SEARCH: Final = "0100"
_MISSES: Final = 3  # a number of frames that was wrong so often is no longer used
# What may be asked again after "response pending": reading has no effect. Anything else is asked once.
_READING: Final = frozenset(
    bytes((service,)) for service in (0x01, 0x02, 0x03, 0x06, 0x07, 0x09, 0x0A, 0x19, 0x1A, 0x21, 0x22, 0x3E)
)

_Asked = tuple[object, bytes]  # whom and what


class Elm327Tester:
    """A tester behind an adapter it owns. SourceError when the adapter is gone or cannot be used."""

    def __init__(
        self, process: AdapterProcess, *, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``process`` has connected."""
        self._clock = clock
        self.timeout_s = timeout_s
        self.unanswered = 0
        self._process = process
        self._session = ElmSession(self._send)
        self._worked = False  # whether it has answered a request since it was started
        self._closed = False
        self._silences = 0  # requests in a row that nobody answered, whoever asked
        self._search_at = float("-inf")  # no earlier than then
        self._frames: dict[_Asked, int] = {}  # frames that came; 0: not to be counted on
        self._misses: dict[_Asked, int] = {}
        self._lengths = FrameLengths()
        self._usual = Timing(timeout_s=timeout_s)
        if process.protocol in ElmSession.PROTOCOLS:
            self._session.found(process.protocol)

    @classmethod
    def open(
        cls, port: str, *, baud: int | None = None, timeout_s: float = 0.2, connect_s: float = CONNECT_S
    ) -> "Elm327Tester":
        """Connect, which takes some 4 s. ``port``: /dev/ttyUSB0, /dev/rfcomm0, socket://192.168.0.10:35000.

        ``baud`` None: found out. ``timeout_s``: what an ECU is given. An ignition that is off is no error: the car is
        looked for again later. Raises SourceError, ConfigurationError where python-OBD is not installed.
        """
        if not 0 < timeout_s <= LONGEST_TIMEOUT_S:
            raise ConfigurationError(f"the timeout is {timeout_s:g} s; give one up to 1 s, 200ms suits most cars")
        process = AdapterProcess(port, baud)
        process.start(connect_s)
        return cls(process, timeout_s=timeout_s)

    @property
    def protocol(self) -> str:
        """The car's protocol as ELM327 numbers them ("6": 11 bit, 500 kbit/s), "" if no car was found yet."""
        return self._session.protocol

    @property
    def lacking(self) -> frozenset[str]:
        """Commands this adapter turned out not to know."""
        return frozenset(self._session.lacking)

    @property
    def pid(self) -> int | None:
        """The process that holds the adapter."""
        return self._process.pid

    def functional(self, request: bytes, *, expected: AbstractSet[str] | None, enough: int | None = None) -> Exchange:
        """See :class:`edge_agent.tester.base.Tester`."""
        del enough  # the adapter listens for its time anyway
        exchange = Exchange()
        deadline = self._clock() + LONGEST_PENDING_S
        timing = self._timing(request)
        key = (frozenset(expected or ()), request)
        counted = timing is not PATIENT and bool(expected)
        while True:
            try:
                heard = self._request(None, request, timing, within_s=_FUNCTIONAL_S, counted=key if counted else None)
            except AnswerError as error:
                exchange.trouble = str(error)
                return exchange  # the adapter's trouble says nothing about the car: unanswered stays as it was
            pending = self._sort(request, heard, exchange)
            complete = exchange.answers.keys() >= (expected or set()) and not pending
            if counted and not self._learned(key, heard, complete=complete):
                counted = False  # the number of frames was wrong: ask once more without it
                continue
            if not pending or request[:1] not in _READING or self._clock() >= deadline:
                break
            timing, counted = PATIENT, False
        exchange.trouble = heard.trouble
        if pending:
            exchange.trouble = "asked for patience (NRC 0x78) and gave no answer"
        self._count(heard)
        return exchange

    def physical(self, address: IsoTpAddress, request: bytes) -> bytes:
        """See :class:`edge_agent.tester.base.Tester`."""
        started = self._clock()
        timing = self._timing(request)
        key = (address, request)
        counted, pending = timing is not PATIENT, False
        while True:
            heard = self._request(address, request, timing, within_s=_PHYSICAL_S, counted=key if counted else None)
            own = [payload for sender, payload in heard.payloads if sender == address.receive_id]
            final = next((p for p in own if belongs(request, p) and not is_response_pending(request, p)), None)
            waits = any(is_response_pending(request, payload) for payload in own)
            if counted and not self._learned(key, heard, complete=final is not None and not waits):
                counted = False
                continue
            pending = pending or waits
            busy = pending and final is not None and final[:1] == b"\x7f" and final[2:3] == bytes((_BUSY,))
            if final is not None and not busy:
                self.unanswered = 0
                return positive(request, final)
            waited_s = self._clock() - started
            if not pending or request[:1] not in _READING or waited_s >= LONGEST_PENDING_S:
                break
            timing, counted = PATIENT, False
        foreign = next((p[:8].hex().upper() for p in own if not is_response_pending(request, p)), None)
        if pending:
            self.unanswered = 0  # it was there
            raise AnswerError(f"asked for patience (NRC 0x78) and gave no answer in {waited_s:.0f} s")
        self._count(heard)
        raise AnswerError(Exchange(foreign=foreign, trouble=heard.trouble).reason(self.timeout_s))

    def supply_voltage(self) -> float:
        """Volts at the socket as the adapter measures them: no ECU is asked, none wakes. AnswerError if it cannot."""
        self._start_again()
        text = self._session.ask("ATRV")
        try:
            return float((text or "").upper().removesuffix("V"))
        except ValueError:
            raise AnswerError(f"the adapter does not measure the voltage (it says {text!r})") from None

    def identity(self) -> str:
        """What the adapter calls itself ("ELM327 v1.5"); adapters sold as such are often something else."""
        self._start_again()
        return self._session.ask("ATI") or "unknown"

    def close(self) -> None:
        """Let go of the adapter."""
        self._closed = True
        self._process.stop()

    def _count(self, heard: Heard) -> None:
        """Requests nobody answered; the adapter's own trouble says nothing about the car."""
        if heard.lines:
            self.unanswered = self._silences = 0
        elif heard.nobody:
            self.unanswered += 1
            self._silences += 1

    def _timing(self, request: bytes) -> Timing:
        """Requests that may not be repeated are given the longest time from the start."""
        if request[:1] not in _READING:
            return PATIENT
        if self._usual.timeout_s != self.timeout_s:
            self._usual = Timing(timeout_s=self.timeout_s)
        return self._usual

    def _sort(self, request: bytes, heard: Heard, exchange: Exchange) -> bool:
        """Put what was heard into the exchange; whether an ECU asks for patience and has not answered."""
        pending = set[str]()
        for sender, payload in heard.payloads:
            ecu = ecu_name(sender)
            if is_response_pending(request, payload):
                pending.add(ecu)
            elif answers_to_all(sender) and belongs(request, payload):
                exchange.answers.setdefault(ecu, payload)
            else:
                exchange.foreign = payload[:8].hex().upper()
        return bool(pending - exchange.answers.keys())

    def _learned(self, key: _Asked, heard: Heard, *, complete: bool) -> bool:
        """Learn how many frames this request brings. False: it was asked with a number that was wrong; ask again."""
        if key not in self._frames:
            if complete and heard.trouble is None and 0 < heard.lines <= _MOST_FRAMES:
                self._frames[key] = heard.lines
            return True
        if complete or not heard.lines or not self._frames[key]:
            return True
        self._misses[key] = self._misses.get(key, 0) + 1
        if self._misses[key] < _MISSES:
            del self._frames[key]
        else:
            self._frames[key] = 0
        return False

    def _request(
        self, address: IsoTpAddress | None, request: bytes, timing: Timing, *, within_s: float, counted: _Asked | None
    ) -> Heard:
        """One request and what came. AnswerError for what the adapter cannot do or did not do."""
        if not 1 <= len(request) <= _LONGEST_REQUEST:
            raise AnswerError(f"a request of {len(request)} bytes: an ELM327 sends up to {_LONGEST_REQUEST}")
        self._start_again()
        self._search()
        self._session.prepare(address, timing)
        command = request.hex().upper()
        frames = self._frames.get(counted, 0) if counted is not None else 0
        command += f"{frames:X}" if frames else ""
        text = self._send(command, timing.timeout_s + _LINK_S, within_s)
        self._worked = True
        return self._understood(text, command)

    def _understood(self, text: str, command: str) -> Heard:
        heard = hear(text, command=command, identifier_bits=self._session.identifier_bits or 11)
        if heard.reset:
            self._session.forget()
            raise AnswerError(heard.trouble or "the adapter started anew")
        self._lengths.check(heard)
        return heard

    def _search(self) -> None:
        """Look for the car's protocol if it is not known, now and then; AnswerError if it is still not known.

        Also if nobody has answered in the known one for long: the adapter may be in another car by now.
        """
        known = self._session.protocol
        wait_s = self._search_at - self._clock()
        if known and (self._silences < _DOUBT_AFTER or wait_s > 0):
            return
        if wait_s > 0:
            raise AnswerError(f"not asked: the adapter found no car, and looks again in {wait_s:.0f} s")
        pause_s = _DOUBT_PERIOD_S if known else _SEARCH_PERIOD_S
        self._search_at = self._clock() + _SEARCH_S + pause_s  # should the adapter hang over it
        self._session.prepare(None, PATIENT)
        if known:
            self._session.ask("ATTP0")  # any; unlike ATSP0 it leaves the adapter's memory alone
        heard = hear(self._send(_SEARCH, _SEARCH_S, _SEARCH_S), command=_SEARCH, identifier_bits=11)
        protocol = (self._session.ask("ATDPN") or "").removeprefix("A")
        self._session.forget()
        if protocol in ElmSession.PROTOCOLS and not heard.nobody:
            self._silences = 0
            self._process.protocol = protocol
            self._session.found(protocol)
            return
        self._search_at = self._clock() + pause_s
        if known:
            return  # it sleeps: the protocol is what it was
        if protocol not in {"", "0"} and not heard.nobody:
            raise AnswerError(f"the car speaks a protocol that is not read through an ELM327 (number {protocol})")
        raise AnswerError(heard.trouble or "the adapter finds no car on the bus: is the ignition on?")

    def _start_again(self) -> None:
        """Start the process anew if it was ended: once, and again only after it has worked."""
        if self._process.pid is not None:
            return
        if self._closed:
            raise SourceError(f"the ELM327 adapter at {self._process.port} was closed; open it again")
        if not self._worked:
            raise self._process.gone("gave no usable reply, also after it was set up anew")
        self._worked = False
        _log.warning("Connecting to the ELM327 adapter at %s anew", self._process.port)
        self._process.start()
        self._session.forget()

    def _send(self, command: str, silence_s: float, within_s: float | None = None) -> str:
        """The raw reply to a command. AnswerError if it does not come, or the adapter started anew meanwhile."""
        try:
            text = self._process.ask(command, silence_s, silence_s if within_s is None else within_s)
        except (LateReplyError, AdapterStuckError) as error:
            self._session.forget()
            raise AnswerError(str(error)) from None
        unasked, _, reply = text.rpartition(STALE.decode())
        for sign, reason in RESET.items():
            if sign in unasked:
                self._session.forget()
                raise AnswerError(reason)
        return reply
