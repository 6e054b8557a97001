"""A car that is asked: what is read and how often, over any tester. What an answer means is :mod:`edge_agent.obd`."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.obd import did, service01, trouble_codes, vehicle_information
from edge_agent.obd.answers import AnswerError, Decoded
from edge_agent.obd.did import DidDefinition
from edge_agent.obd.pids import PIDS
from edge_agent.obd.plan import RatePlan
from edge_agent.sources.base import ReadFault, Reading
from edge_agent.sources.code_reader import CodeReader, CodesRead
from edge_agent.tester.base import IsoTpAddress, Tester

_log = logging.getLogger(__name__)

# ISO 15765-4: engine 7E0/7E8, seven more ECUs after it; 7DF asks all of them.
DEFAULT_ECUS = tuple(IsoTpAddress(transmit_id=0x7E0 + n, receive_id=0x7E8 + n) for n in range(8))
# With 29-bit identifiers ECU xx is asked at 18DAxxF1 and answers with 18DAF1xx; these are the usual ones.
ECUS_29_BIT = tuple(
    IsoTpAddress(transmit_id=0x18DA00F1 | ecu << 8, receive_id=0x18DAF100 | ecu) for ecu in (0x10, 0x11, 0x18, 0x28)
)
_SILENT_READS = 3  # in a row; if 01 00 too is not answered, nothing more is asked: requests keep a parked car awake
_VIN_PERIOD_S, _VIN_RETRY_S = 86_400.0, 60.0
_DISCOVER, _TROUBLE_CODES, _VIN = "discover", "trouble codes", "VIN"


@dataclass(frozen=True, kw_only=True)
class ObdConfig:
    """How a car is read. Periods and times in seconds.

    ``pids``: PID of service 01 -> period; those the car lacks are left out. ``dids``: the maker's own values; a PID
    that gives the same is not asked, since the two would take turns with different steps.
    ``dtc_services``: of 0x03, 0x07, 0x0A; ``dtc_period_s`` None reads no codes. ``uds_dtc_ecus``: also asked by 19 02.
    ``idle_wait_s``: longest time one poll waits for something to become due.
    """

    ecus: tuple[IsoTpAddress, ...] = DEFAULT_ECUS
    pids: Mapping[int, float] = field(default_factory=dict)
    dids: tuple[DidDefinition, ...] = ()
    dtc_period_s: float | None = 30.0
    dtc_services: tuple[int, ...] = (0x03, 0x07, 0x0A)
    uds_dtc_ecus: tuple[IsoTpAddress, ...] = ()
    read_vin: bool = True
    discovery_period_s: float = 10.0  # while no ECU has answered yet, and between two looks at a silent car
    rediscovery_period_s: float = 600.0  # an ECU that slept when the car was discovered wakes up later
    idle_wait_s: float = 0.5

    def __post_init__(self) -> None:
        for pid, period_s in self.pids.items():
            if pid not in PIDS:
                known = ", ".join(f"{number:02X}" for number in PIDS)
                raise ConfigurationError(f"pids: {pid:02X} gives no signal of the catalogue; known are {known}")
            if period_s <= 0:
                raise ConfigurationError(f"pids: the period of {pid:02X} is {period_s} s; give one above 0")
        for service in self.dtc_services:
            if service not in trouble_codes.STATUS_OF_SERVICE:
                raise ConfigurationError(f"dtc_services: {service:02X} reads no codes; choose from 03, 07, 0A")
        for name in ("discovery_period_s", "rediscovery_period_s", "dtc_period_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"{name} is {value}; give a time in seconds above 0")

    @property
    def addresses(self) -> tuple[IsoTpAddress, ...]:
        """Every ECU this configuration talks to, each once."""
        of_dids = (IsoTpAddress(transmit_id=d.request_id, receive_id=d.response_id) for d in self.dids)
        return tuple(dict.fromkeys((*self.ecus, *self.uds_dtc_ecus, *of_dids)))


class ObdSource:
    """An ECU that does not answer is a fault in the reading; an adapter that is gone is a SourceError."""

    def __init__(
        self, config: ObdConfig, connect: Callable[[], Tester], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``connect`` opens the adapter, or raises SourceError."""
        self._config = config
        self._connect = connect
        self._clock = clock
        self._tester: Tester | None = None
        self._plan = RatePlan(())
        self._pids: dict[int, tuple[str, ...]] = {}  # PID -> ECUs that have it
        self._codes: CodeReader | None = None
        self._dids = {definition.request_name: definition for definition in config.dids}

    @property
    def supported_pids(self) -> Mapping[int, tuple[str, ...]]:
        """PID -> response identifiers ("7E8") of the ECUs that have it, as discovered."""
        return dict(self._pids)

    def open(self) -> None:
        """Open the adapter and discover what the car has; a silent car is asked again later."""
        self.close()
        config = self._config
        tester = self._connect()
        self._tester = tester
        self._pids = {}
        self._codes = CodeReader(tester, services=config.dtc_services, uds_ecus=config.uds_dtc_ecus)
        self._plan = RatePlan(self._periods())
        try:
            self._discover()
        except SourceError:
            self.close()
            raise

    def poll(self) -> Reading | None:
        """Read what is due; waits up to ``idle_wait_s`` for it."""
        if self._tester is None or self._codes is None:
            raise SourceError("the source is not open; call open() first")
        due = self._due()
        if not due:
            return Reading()
        values: dict[str, float] = {}
        faults: list[ReadFault] = []
        codes: CodesRead | None = None
        vin: str | None = None
        asleep = False
        silent_ecus: set[int] = set()  # by request identifier
        if not self._pids:
            self._tester.unanswered = 0  # nothing but its own values tells that such a car is awake
        for key in due:
            definition = self._dids.get(key)
            asleep = asleep or self._is_asleep(self._tester)
            if asleep:
                faults.append(ReadFault(request=key, reason="not asked: the car is silent"))
                continue
            if definition is not None and definition.request_id in silent_ecus:
                faults.append(ReadFault(request=key, reason="not asked: this ECU is silent"))
                self._plan.done(key, self._clock(), again_s=self._later(definition))
                continue
            if key == _DISCOVER:
                plan = self._plan
                faults.extend(self._discover())
                if self._plan is not plan:
                    break  # everything is due in the new plan
            elif key == _TROUBLE_CODES:
                codes = self._codes.read({ecu for having in self._pids.values() for ecu in having})
                faults.extend(codes.faults)
            elif key == _VIN:
                vin, failed = self._vin(self._tester)
                faults.extend(failed)
                if vin is None:
                    self._plan.done(key, self._clock(), again_s=_VIN_RETRY_S)
                    continue
            elif definition is not None:
                before = self._tester.unanswered
                decoded = self._did(self._tester, definition)
                values.update(decoded.values)
                faults.extend(decoded.faults)
                if self._tester.unanswered > before:
                    silent_ecus.add(definition.request_id)
                    self._plan.done(key, self._clock(), again_s=self._later(definition))
                    continue
            else:
                decoded = self._value(self._tester, key)
                values.update(decoded.values)
                faults.extend(decoded.faults)
            self._plan.done(key, self._clock())
        if asleep or self._is_asleep(self._tester):
            self._plan.pause(self._clock(), self._config.discovery_period_s)
        return Reading(
            values=values,
            trouble_codes=None if codes is None else codes.codes,
            ecus_read=None if codes is None else codes.ecus_read,
            vin=vin,
            faults=tuple(faults),
        )

    def read_codes_soon(self) -> None:
        """Let the trouble codes be read in the next poll."""
        self._plan.soon(_TROUBLE_CODES)

    def close(self) -> None:
        """Let go of the adapter."""
        if self._tester is not None:
            self._tester.close()
        self._tester = None
        self._codes = None

    def _periods(self) -> Iterable[tuple[str, float]]:
        """Reads of the plan that the car has; without an answering ECU only the looking for one, and the DIDs."""
        config = self._config
        yield _DISCOVER, config.rediscovery_period_s if self._pids else config.discovery_period_s
        of_dids = {signal.path for definition in config.dids for signal in definition.signals}
        for pid, period_s in config.pids.items():
            if pid in self._pids and not of_dids.issuperset(signal.path for signal in PIDS[pid].signals):
                yield service01.request_name(pid), period_s
        for definition in config.dids:
            yield definition.request_name, definition.period_s
        if config.dtc_period_s is not None and (self._pids or config.uds_dtc_ecus):
            yield _TROUBLE_CODES, config.dtc_period_s
        if config.read_vin and self._pids:
            yield _VIN, _VIN_PERIOD_S

    def _due(self) -> list[str]:
        now = self._clock()
        due = self._plan.due(now)
        if due:
            return due
        upcoming = self._plan.next_due()
        wait_s = self._config.idle_wait_s
        time.sleep(max(0.0, wait_s if upcoming is None else min(wait_s, upcoming - now)))
        return self._plan.due(self._clock())

    def _discover(self) -> tuple[ReadFault, ...]:
        assert self._tester is not None
        """Ask which parameters there are. What was there before stays: an ECU that sleeps has not lost it."""
        found: dict[int, set[str]] = {}
        faults: list[ReadFault] = []
        wanted = set(service01.BITMAP_PIDS[:1])
        for bitmap in service01.BITMAP_PIDS:
            if bitmap not in wanted:
                continue
            exchange = self._tester.functional(service01.request(bitmap), expected=found.get(bitmap))
            if not found.get(bitmap, set()) <= exchange.answers.keys():  # one lost frame would hide 32 parameters
                exchange = self._tester.functional(service01.request(bitmap), expected=found.get(bitmap))
            for ecu, payload in exchange.answers.items():
                try:
                    supported = service01.decode_supported(bitmap, payload)
                except AnswerError as error:
                    faults.append(ReadFault(request=f"{service01.request_name(bitmap)} at {ecu}", reason=str(error)))
                    continue
                for pid in supported:
                    found.setdefault(pid, set()).add(ecu)
                    wanted.add(pid)
            if bitmap == 0 and not exchange.answers:
                reason = exchange.reason(self._tester.timeout_s)
                faults.append(ReadFault(request=service01.request_name(0), reason=reason))
        known = {pid: set(ecus) for pid, ecus in self._pids.items()}
        for pid in found.keys() - set(service01.BITMAP_PIDS):
            known.setdefault(pid, set()).update(found[pid])
        pids = {pid: tuple(sorted(ecus)) for pid, ecus in known.items()}
        if pids != self._pids:
            self._pids = pids
            self._plan = RatePlan(self._periods())
            self._plan.done(_DISCOVER, self._clock())
            _log.info("The car has %d parameters of service 01", len(known))
        return tuple(faults)

    def _is_asleep(self, tester: Tester) -> bool:
        """Whether nobody answers any more; ECUs of which the car has none do not make a silent car."""
        if tester.unanswered < _SILENT_READS:
            return False
        return not (self._pids and tester.functional(service01.request(0), expected=None, enough=1).answers)

    def _later(self, definition: DidDefinition) -> float:
        """Seconds until an ECU that did not answer is asked again."""
        return max(definition.period_s, self._config.discovery_period_s)

    def _value(self, tester: Tester, key: str) -> Decoded:
        pid = next(pid for pid in self._config.pids if service01.request_name(pid) == key)
        ecus = self._pids.get(pid, ())
        exchange = tester.functional(service01.request(pid), expected=set(ecus))
        parts: list[Decoded] = []
        for ecu in ecus:
            name = f"{key} at {ecu}"
            if ecu not in exchange.answers:
                reason = exchange.reason(tester.timeout_s)
                parts.append(Decoded(faults=(ReadFault(request=name, reason=reason),)))
                continue
            try:
                parts.append(service01.decode(pid, exchange.answers[ecu]))
            except AnswerError as error:
                parts.append(Decoded(faults=(ReadFault(request=name, reason=str(error)),)))
        combined = service01.combine(parts)
        if any(signal.combine != "first" for signal in PIDS[pid].signals) and combined.faults:
            return Decoded(faults=combined.faults)  # a sum over some of the ECUs is not the car's
        return combined

    def _did(self, tester: Tester, definition: DidDefinition) -> Decoded:
        address = IsoTpAddress(transmit_id=definition.request_id, receive_id=definition.response_id)
        try:
            return did.decode(definition, tester.physical(address, definition.request))
        except AnswerError as error:
            return Decoded(faults=(ReadFault(request=definition.request_name, reason=str(error)),))

    def _vin(self, tester: Tester) -> tuple[str | None, list[ReadFault]]:
        exchange = tester.functional(vehicle_information.VIN_REQUEST, expected=None, enough=1)
        faults: list[ReadFault] = []
        for ecu, payload in sorted(exchange.answers.items()):
            try:
                return vehicle_information.decode_vin(payload), faults
            except AnswerError as error:
                faults.append(ReadFault(request=f"service 09 item 02 at {ecu}", reason=str(error)))
        if not faults:
            faults.append(ReadFault(request="service 09 item 02", reason=exchange.reason(tester.timeout_s)))
        return None, faults
