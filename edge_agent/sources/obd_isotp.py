"""A car read over ISO-TP: OBD services through ISO-TP directly, UDS through udsoncan, on any python-can interface."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import can

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.isotp_link import IsoTpAddress, IsoTpLink
from edge_agent.obd import did, service01, trouble_codes, vehicle_information
from edge_agent.obd.answers import AnswerError, Decoded
from edge_agent.obd.did import DidDefinition
from edge_agent.obd.pids import PIDS
from edge_agent.obd.plan import RatePlan
from edge_agent.sources.base import ReadFault, Reading, TroubleCode
from edge_agent.sources.requester import Requester

_log = logging.getLogger(__name__)

# ISO 15765-4: engine 7E0/7E8, seven more ECUs after it; 7DF asks all of them.
DEFAULT_ECUS = tuple(IsoTpAddress(transmit_id=0x7E0 + n, receive_id=0x7E8 + n) for n in range(8))
_ALL_CODES = trouble_codes.STATUS_PENDING | trouble_codes.STATUS_CONFIRMED
_SILENT_READS = 3  # unanswered in a row; then the rest is not asked: requests keep a parked car awake
_VIN_PERIOD_S, _VIN_RETRY_S = 86_400.0, 60.0
_DISCOVER, _TROUBLE_CODES, _VIN = "discover", "trouble codes", "VIN"


@dataclass(frozen=True, kw_only=True)
class ObdIsoTpConfig:
    """How a car is read. Periods and times in seconds.

    ``pids``: PID of service 01 -> period; those the car lacks are left out. ``dids``: the maker's own values; a PID
    that gives the same is not asked, since the two would take turns with different steps.
    ``dtc_services``: of 0x03, 0x07, 0x0A; ``dtc_period_s`` None reads no codes. ``uds_dtc_ecus``: also asked by 19 02.
    ``idle_wait_s``: longest time one poll waits for something to become due.
    """

    bus: CanBusConfig
    functional_request_id: int = 0x7DF
    ecus: tuple[IsoTpAddress, ...] = DEFAULT_ECUS
    timeout_s: float = 0.2  # P2 of ISO 15765-4 is 50 ms; gateways and Python need more
    pids: Mapping[int, float] = field(default_factory=dict)
    dids: tuple[DidDefinition, ...] = ()
    dtc_period_s: float | None = 30.0
    dtc_services: tuple[int, ...] = (0x03, 0x07, 0x0A)
    uds_dtc_ecus: tuple[IsoTpAddress, ...] = ()
    read_vin: bool = True
    discovery_period_s: float = 10.0  # while no ECU has answered yet
    idle_wait_s: float = 0.5
    stmin_ms: int = 1

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
        for name in ("timeout_s", "discovery_period_s", "dtc_period_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"{name} is {value}; give a time in seconds above 0")

    @property
    def addresses(self) -> tuple[IsoTpAddress, ...]:
        """Every ECU this configuration talks to, each once."""
        of_dids = (IsoTpAddress(transmit_id=d.request_id, receive_id=d.response_id) for d in self.dids)
        return tuple(dict.fromkeys((*self.ecus, *self.uds_dtc_ecus, *of_dids)))


class ObdIsoTpSource:
    """An ECU that does not answer is a fault in the reading; a bus that is gone is a SourceError."""

    def __init__(self, config: ObdIsoTpConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._bus: can.BusABC | None = None
        self._requester: Requester | None = None
        self._plan = RatePlan(())
        self._pids: dict[int, tuple[str, ...]] = {}  # PID -> ECUs that have it
        self._silent_services: set[int] = set()
        self._answering: dict[int, set[str]] = {}  # trouble code service -> ECUs that have answered it

    @property
    def supported_pids(self) -> Mapping[int, tuple[str, ...]]:
        """PID -> response identifiers ("7E8") of the ECUs that have it, as discovered."""
        return dict(self._pids)

    def open(self) -> None:
        """Open the bus and discover what the car has; a silent car is asked again later."""
        self.close()
        config = self._config
        bus = open_can_bus(config.bus)
        self._bus = bus
        bus.set_filters(
            [
                {"can_id": a.receive_id, "can_mask": 0x1FFFFFFF if a.receive_id > 0x7FF else 0x7FF}
                for a in config.addresses
            ]
        )
        link = IsoTpLink(bus, config.addresses, stmin_ms=config.stmin_ms)
        self._requester = Requester(
            link, functional_request_id=config.functional_request_id, timeout_s=config.timeout_s
        )
        self._pids = {}
        self._silent_services = set()
        self._answering = {}
        self._plan = RatePlan(self._periods())
        try:
            self._discover()
        except can.CanError as error:
            self.close()
            raise _gone(config.bus, error) from error

    def poll(self) -> Reading | None:
        """Read what is due; waits up to ``idle_wait_s`` for it."""
        if self._requester is None:
            raise SourceError("the source is not open; call open() first")
        due = self._due()
        values: dict[str, float] = {}
        faults: list[ReadFault] = []
        codes: tuple[TroubleCode, ...] | None = None
        vin: str | None = None
        self._requester.unanswered = 0
        try:
            for key in due:
                if self._requester.unanswered >= _SILENT_READS:
                    faults.append(ReadFault(request=key, reason="not asked: the car is silent"))
                    self._plan.done(key, self._clock())
                    continue
                if key == _DISCOVER:
                    faults.extend(self._discover())
                    if self._pids:
                        break  # there is a new plan now, with everything due
                elif key == _TROUBLE_CODES:
                    codes, failed = self._trouble_codes(self._requester)
                    faults.extend(failed)
                elif key == _VIN:
                    vin, failed = self._vin(self._requester)
                    faults.extend(failed)
                    if vin is None:
                        self._plan.done(key, self._clock(), again_s=_VIN_RETRY_S)
                        continue
                else:
                    decoded = self._value(self._requester, key)
                    values.update(decoded.values)
                    faults.extend(decoded.faults)
                self._plan.done(key, self._clock())
        except can.CanError as error:
            raise _gone(self._config.bus, error) from error
        return Reading(values=values, trouble_codes=codes, vin=vin, faults=tuple(faults))

    def close(self) -> None:
        """Let go of the bus."""
        if self._bus is not None:
            self._bus.shutdown()
        self._bus = None
        self._requester = None

    def _periods(self) -> Iterable[tuple[str, float]]:
        """Reads of the plan that the car has; without an answering ECU only the looking for one, and the DIDs."""
        config = self._config
        if not self._pids:
            yield _DISCOVER, config.discovery_period_s
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
        assert self._requester is not None
        found: dict[int, set[str]] = {}
        faults: list[ReadFault] = []
        wanted = set(service01.BITMAP_PIDS[:1])
        for bitmap in service01.BITMAP_PIDS:
            if bitmap not in wanted:
                continue
            exchange = self._requester.functional(service01.request(bitmap), expected=found.get(bitmap))
            if not found.get(bitmap, set()) <= exchange.answers.keys():  # one lost frame would hide 32 parameters
                exchange = self._requester.functional(service01.request(bitmap), expected=found.get(bitmap))
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
                reason = exchange.reason(self._config.timeout_s)
                faults.append(ReadFault(request=service01.request_name(0), reason=reason))
        known = {pid: tuple(sorted(ecus)) for pid, ecus in found.items() if pid not in service01.BITMAP_PIDS}
        if known:
            self._pids = known
            self._plan = RatePlan(self._periods())
            _log.info("The car has %d parameters of service 01", len(known))
        return tuple(faults)

    def _value(self, requester: Requester, key: str) -> Decoded:
        for definition in self._config.dids:
            if definition.request_name == key:
                return self._did(requester, definition)
        pid = next(pid for pid in self._config.pids if service01.request_name(pid) == key)
        ecus = self._pids.get(pid, ())
        exchange = requester.functional(service01.request(pid), expected=set(ecus))
        parts: list[Decoded] = []
        for ecu in ecus:
            name = f"{key} at {ecu}"
            if ecu not in exchange.answers:
                reason = exchange.reason(self._config.timeout_s)
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

    def _did(self, requester: Requester, definition: DidDefinition) -> Decoded:
        address = IsoTpAddress(transmit_id=definition.request_id, receive_id=definition.response_id)
        try:
            return did.decode(definition, requester.uds_read(address, definition.did))
        except AnswerError as error:
            return Decoded(faults=(ReadFault(request=definition.request_name, reason=str(error)),))

    def _vin(self, requester: Requester) -> tuple[str | None, list[ReadFault]]:
        exchange = requester.functional(vehicle_information.VIN_REQUEST, expected=None, enough=1)
        faults: list[ReadFault] = []
        for ecu, payload in sorted(exchange.answers.items()):
            try:
                return vehicle_information.decode_vin(payload), faults
            except AnswerError as error:
                faults.append(ReadFault(request=f"service 09 item 02 at {ecu}", reason=str(error)))
        if not faults:
            faults.append(ReadFault(request="service 09 item 02", reason=exchange.reason(self._config.timeout_s)))
        return None, faults

    def _trouble_codes(self, requester: Requester) -> tuple[tuple[TroubleCode, ...] | None, list[ReadFault]]:
        """All codes, or None if any ECU failed to answer: codes it keeps must not look as if they had been cleared."""
        codes: list[TroubleCode] = []
        faults: list[ReadFault] = []
        complete = True
        answered = False
        services = [s for s in self._config.dtc_services if s not in self._silent_services] if self._pids else []
        for service in services:
            before = self._answering.get(service)
            exchange = requester.functional(bytes((service,)), expected=before)
            name = trouble_codes.request_name(service)
            for ecu in (before or set()) - set(exchange.answers):
                faults.append(ReadFault(request=f"{name} at {ecu}", reason=exchange.reason(self._config.timeout_s)))
                complete = False
            for ecu, payload in exchange.answers.items():
                try:
                    codes.extend(trouble_codes.decode_stored(service, payload, ecu=ecu))
                    self._answering.setdefault(service, set()).add(ecu)
                    answered = True
                except AnswerError as error:
                    faults.append(ReadFault(request=f"{name} at {ecu}", reason=str(error)))
                    complete = False
            if not exchange.answers and not before:
                faults.append(ReadFault(request=name, reason=exchange.reason(self._config.timeout_s)))
                if service == trouble_codes.PERMANENT:
                    self._silent_services.add(service)  # cars before 2010 do not have it: one fault says so
                else:
                    complete = False
        for address in self._config.uds_dtc_ecus:
            ecu = f"{address.receive_id:03X}"
            try:
                payload = requester.uds_trouble_codes(address, _ALL_CODES)
                codes.extend(trouble_codes.decode_by_status(payload, ecu=ecu))
                answered = True
            except AnswerError as error:
                faults.append(ReadFault(request=f"service 19 02 at {ecu}", reason=str(error)))
                complete = False
        return (trouble_codes.strongest(codes) if complete and answered else None), faults


def _gone(bus: CanBusConfig, error: can.CanError) -> SourceError:
    return SourceError(f"CAN bus {bus.interface}:{bus.channel} is gone ({error}); check the cable and the interface")
