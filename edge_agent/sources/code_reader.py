"""Trouble codes of all ECUs, and which ECUs gave all of theirs: of the others silence must not clear a code."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from edge_agent.obd import trouble_codes
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.dialect import OBD, CodeRequest, Dialect
from edge_agent.sources.base import ReadFault, TroubleCode
from edge_agent.tester.base import IsoTpAddress, Tester

_LACKING = frozenset({0x11, 0x12})  # service, or its sub-function, not supported
_ALL_CODES = trouble_codes.STATUS_PENDING | trouble_codes.STATUS_CONFIRMED


@dataclass(frozen=True, kw_only=True)
class CodesRead:
    """One read of the codes. ``codes`` None: no ECU gave all of its codes."""

    codes: tuple[TroubleCode, ...] | None
    ecus_read: frozenset[str]
    faults: tuple[ReadFault, ...]


class CodeReader:
    """Reads the codes of one car, again and again, and remembers which ECU has answered which service.

    Services 03 and 07 are every OBD ECU's; 0A came in 2010, so an ECU may lack it. An ECU that has answered a service
    and does not answer it now was not read; a refusal or nonsense is an answer too. ``services``: of 03, 07, 0A, in the
    car's ``dialect``.
    """

    def __init__(
        self,
        tester: Tester,
        *,
        services: tuple[int, ...],
        uds_ecus: tuple[IsoTpAddress, ...],
    ) -> None:
        self._tester = tester
        self._services = services
        self._uds_ecus = uds_ecus
        self._having: dict[bytes, set[str]] = {}  # request -> ECUs that have answered it
        self._begin()

    def read(self, ecus: AbstractSet[str], dialect: Dialect = OBD) -> CodesRead:
        """Ask everything once. ``ecus``: response identifiers of the ECUs that answer OBD requests, none if none."""
        self._begin()
        requests = dialect.codes(self._services)
        if requests and not ecus:
            # Discovery may have missed them; by UDS alone their codes of services 03 and 07 would look cleared.
            ecus = self._tester.functional(requests[0].request, expected=None).answers.keys()
        if ecus:
            for request in requests:
                self._stored(request, ecus, awake=requests[0])
            for request in requests:
                if not request.optional:  # an ECU that nobody knew of may have come up between two of them
                    self._failed |= self._answered - self._decoded.get(request.request, set())
        for address in self._uds_ecus:
            self._by_status(address)
        complete = frozenset(ecu for ecu in self._answered if ecu not in self._failed)
        return CodesRead(
            codes=trouble_codes.strongest(self._codes) if complete else None,
            ecus_read=complete,
            faults=tuple(self._faults),
        )

    def _begin(self) -> None:
        self._codes: list[TroubleCode] = []
        self._faults: list[ReadFault] = []
        self._answered: set[str] = set()
        self._decoded: dict[bytes, set[str]] = {}  # request -> ECUs whose answer could be understood
        self._failed: set[str] = set()

    def _stored(self, asked: CodeRequest, ecus: AbstractSet[str], awake: CodeRequest) -> None:
        """One of services 03, 07, 0A: an ECU answers it in full, fails, or (an optional one alone) does not have it."""
        first = asked.request not in self._having
        having = self._having.get(asked.request, set())
        if not first and not having:
            return  # a car without this service
        expected = ecus if first else having
        silences = self._tester.unanswered
        exchange = self._tester.functional(asked.request, expected=expected)
        if first and not exchange.answers.keys() >= expected:  # a frame lost now would hide an ECU for ever
            again = self._tester.functional(asked.request, expected=expected)
            exchange.answers.update(again.answers)
            exchange.trouble = again.trouble
        heard_nothing = self._tester.unanswered > silences + 1  # twice silence, and not an adapter in trouble
        reason = exchange.reason(self._tester.timeout_s)
        if not exchange.answers and first:
            self._faults.append(ReadFault(request=asked.name, reason=reason))
            if asked.optional and heard_nothing and self._answers(awake):
                self._having[asked.request] = having
            else:
                self._failed |= ecus | self._answered
            return
        for ecu, payload in sorted(exchange.answers.items()):
            try:
                self._codes.extend(asked.decode(payload, ecu))
            except AnswerError as error:
                self._faults.append(ReadFault(request=f"{asked.name} at {ecu}", reason=str(error)))
                lacking = asked.optional and error.nrc in _LACKING and ecu not in having
                if not lacking:
                    self._failed.add(ecu)
                    having.add(ecu)
            else:
                self._answered.add(ecu)
                self._decoded.setdefault(asked.request, set()).add(ecu)
                having.add(ecu)
        self._having[asked.request] = having
        for ecu in sorted(having - exchange.answers.keys()):
            self._faults.append(ReadFault(request=f"{asked.name} at {ecu}", reason=reason))
        missing = having if asked.optional else having | ecus | self._answered
        self._failed |= missing - exchange.answers.keys()

    def _answers(self, request: CodeRequest) -> bool:
        """Whether the car still answers: else its silence says nothing of what it has."""
        return bool(self._tester.functional(request.request, expected=None, enough=1).answers)

    def _by_status(self, address: IsoTpAddress) -> None:
        ecu = address.ecu
        try:
            payload = self._tester.physical(address, trouble_codes.by_status_request(_ALL_CODES))
            self._codes.extend(trouble_codes.decode_by_status(payload, ecu=ecu))
        except AnswerError as error:
            self._failed.add(ecu)
            self._faults.append(ReadFault(request=f"service 19 02 at {ecu}", reason=str(error)))
        else:
            self._answered.add(ecu)
