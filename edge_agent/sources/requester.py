"""Asks ECUs and waits for what belongs to the question: functional requests over ISO-TP, UDS through udsoncan."""

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from udsoncan import DidCodec
from udsoncan.client import Client
from udsoncan.connections import BaseConnection
from udsoncan.exceptions import (
    InvalidResponseException,
    NegativeResponseException,
    TimeoutException,
    UnexpectedResponseException,
)

from edge_agent.isotp_link import IsoTpAddress, IsoTpLink
from edge_agent.obd.answers import NEGATIVE_RESPONSE, POSITIVE_OFFSET, AnswerError, is_response_pending

_PENDING_TIMEOUT_S = 5.0  # P2* of ISO 14229-2, after NRC 0x78
_MULTI_FRAME_TIMEOUT_S = 1.0  # N_Cr of ISO 15765-2
_ECHO_OF_SERVICE = {0x01: 1, 0x09: 1}  # bytes an answer repeats after the service


@dataclass(kw_only=True)
class Exchange:
    """Answers to one functional request by response identifier ("7E8"), and what else came meanwhile."""

    answers: dict[str, bytes] = field(default_factory=dict)
    foreign: str | None = None  # an answer to something else, in hex

    def reason(self, timeout_s: float) -> str:
        """Say why an ECU is not among the answers."""
        more = f", only an answer to something else ({self.foreign})" if self.foreign else ""
        return f"no answer in {timeout_s * 1000:.0f} ms{more}"


class Requester:
    """One question at a time on one link."""

    def __init__(self, link: IsoTpLink, *, functional_request_id: int, timeout_s: float) -> None:
        self._link = link
        self._functional_request_id = functional_request_id
        self._timeout_s = timeout_s
        self._clients: dict[IsoTpAddress, Client] = {}
        self.unanswered = 0  # requests in a row that nobody answered

    def functional(self, request: bytes, *, expected: AbstractSet[str] | None, enough: int | None = None) -> Exchange:
        """Ask all ECUs; done when the ``expected`` ones (or ``enough`` of any, positively) answered or in time."""
        self._link.forget()
        self._link.send_frame(self._functional_request_id, request)
        exchange = Exchange()
        started = time.monotonic()
        deadline = started + self._timeout_s
        while True:
            now = time.monotonic()
            if now >= deadline and not (self._link.receiving() and now < started + _MULTI_FRAME_TIMEOUT_S):
                self.unanswered = 0 if exchange.answers else self.unanswered + 1
                return exchange
            for address, payload in self._link.pump(max(0.0, min(deadline - now, 0.05)) or 0.005):
                if is_response_pending(request, payload):
                    deadline = max(deadline, time.monotonic() + _PENDING_TIMEOUT_S)
                elif belongs(request, payload):
                    exchange.answers.setdefault(f"{address.receive_id:03X}", payload)
                else:
                    exchange.foreign = payload[:8].hex().upper()
            complete = bool(expected) and exchange.answers.keys() >= (expected or set())
            positive = sum(payload[0] != NEGATIVE_RESPONSE for payload in exchange.answers.values())
            if complete or (enough is not None and positive >= enough):
                self.unanswered = 0
                return exchange

    def uds_read(self, address: IsoTpAddress, did: int) -> bytes:
        """Whole positive answer to 0x22; AnswerError otherwise."""
        client = self._client(address)
        client.set_config("data_identifiers", {did: _Raw})
        return self._uds(lambda: client.read_data_by_identifier([did]))

    def uds_trouble_codes(self, address: IsoTpAddress, status_mask: int) -> bytes:
        """Whole positive answer to 0x19 02; AnswerError otherwise."""
        client = self._client(address)
        return self._uds(lambda: client.get_dtc_by_status_mask(status_mask))

    def _uds(self, call: Callable[[], Any]) -> bytes:
        self._link.forget()
        before, self.unanswered = self.unanswered, 0  # any answer counts as one, also one that cannot be used
        try:
            response = call()
        except NegativeResponseException as error:
            code = error.response.code
            raise AnswerError(f"NRC 0x{code:02X} ({error.response.code_name})") from error
        except TimeoutException as error:
            self.unanswered = before + 1
            raise AnswerError(f"no answer in {self._timeout_s * 1000:.0f} ms") from error
        except (InvalidResponseException, UnexpectedResponseException) as error:
            raise AnswerError(f"unusable answer: {error}") from error
        if response is None or response.original_payload is None:
            raise AnswerError("no answer")
        return bytes(response.original_payload)

    def _client(self, address: IsoTpAddress) -> Client:
        if address not in self._clients:
            connection = _LinkConnection(self._link, address)
            connection.open()
            self._clients[address] = Client(
                connection,
                config={
                    "request_timeout": _PENDING_TIMEOUT_S,
                    "p2_timeout": self._timeout_s,
                    "p2_star_timeout": _PENDING_TIMEOUT_S,
                    "use_server_timing": False,
                    "exception_on_negative_response": True,
                    "exception_on_invalid_response": True,
                    "exception_on_unexpected_response": True,
                    "tolerate_zero_padding": False,
                    "ignore_all_zero_dtc": False,
                    "standard_version": 2020,
                    "data_identifiers": {},
                },
            )
        return self._clients[address]


def belongs(request: bytes, payload: bytes) -> bool:
    """Whether an answer is one to this request, be it negative: late answers to earlier requests are not."""
    if payload[0] == NEGATIVE_RESPONSE:
        return len(payload) >= 2 and payload[1] == request[0]
    echo = _ECHO_OF_SERVICE.get(request[0], 0)
    return payload[: 1 + echo] == bytes((request[0] + POSITIVE_OFFSET,)) + request[1 : 1 + echo]


class _Raw(DidCodec):
    """Takes all bytes as they are; the pure decoder gives them meaning."""

    def encode(self, *did_value: Any) -> bytes:
        raise NotImplementedError("this end only reads")

    def decode(self, did_payload: bytes) -> bytes:
        return did_payload

    def __len__(self) -> int:
        raise DidCodec.ReadAllRemainingData


class _LinkConnection(BaseConnection):
    """One ECU of a link as udsoncan's connection."""

    def __init__(self, link: IsoTpLink, address: IsoTpAddress) -> None:
        super().__init__(f"{address.transmit_id:03X}")
        self._link = link
        self._address = address
        self._opened = False

    def open(self) -> "_LinkConnection":
        self._opened = True
        return self

    def close(self) -> None:
        self._opened = False

    def is_open(self) -> bool:
        return self._opened

    def empty_rxqueue(self) -> None:
        self._link.forget()

    def specific_send(self, payload: bytes, timeout: float | None = None) -> None:
        del timeout  # the link queues at once
        self._link.send(self._address, payload)

    def specific_wait_frame(self, timeout: float | None = None) -> bytes:
        started = time.monotonic()
        wait_s = _PENDING_TIMEOUT_S if timeout is None else timeout
        while True:
            elapsed = time.monotonic() - started
            if elapsed >= wait_s and not (self._link.receiving() and elapsed < wait_s + _MULTI_FRAME_TIMEOUT_S):
                raise TimeoutException(f"no answer in {wait_s * 1000:.0f} ms")  # type: ignore[no-untyped-call]  # untyped in udsoncan
            for address, payload in self._link.pump(min(max(wait_s - elapsed, 0.005), 0.05)):
                if address == self._address:
                    return payload
