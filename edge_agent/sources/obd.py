"""A car that is asked: what is read and how often, over any tester. What an answer means is :mod:`edge_agent.obd`."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from edge_agent.errors import SourceError
from edge_agent.obd import did
from edge_agent.obd.answers import AnswerError, Decoded
from edge_agent.obd.dialect import OBD
from edge_agent.obd.did import DidDefinition
from edge_agent.obd.pids import PIDS
from edge_agent.obd.plan import RatePlan
from edge_agent.sources.base import ReadFault, Reading
from edge_agent.sources.code_reader import CodeReader, CodesRead
from edge_agent.sources.frame_reader import FrameReader
from edge_agent.sources.obd_config import DEFAULT_ECUS, ECUS_29_BIT, ObdConfig
from edge_agent.sources.parameters import Parameters, Several
from edge_agent.sources.vin_reader import read_vin
from edge_agent.tester.base import IsoTpAddress, Tester
from edge_agent.tester.polite import PoliteTester

__all__ = ["DEFAULT_ECUS", "ECUS_29_BIT", "ObdConfig", "ObdSource"]

_log = logging.getLogger(__name__)

_SILENT_READS = 3  # in a row; if 01 00 too is not answered, nothing more is asked: requests keep a parked car awake
_VIN_PERIOD_S, _VIN_RETRY_S = 86_400.0, 60.0
_DISCOVER, _TROUBLE_CODES, _VIN = "discover", "trouble codes", "VIN"

_Step = str | tuple[int, ...]  # a key of the plan, or parameters that are read together


@dataclass(kw_only=True)
class _Gathered:
    """What one poll has read so far."""

    values: dict[str, float] = field(default_factory=dict)
    faults: list[ReadFault] = field(default_factory=list)
    codes: CodesRead | None = None
    frames: dict[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)
    vin: str | None = None

    def add(self, decoded: Decoded) -> None:
        self.values.update(decoded.values)
        self.faults.extend(decoded.faults)

    def reading(self) -> Reading:
        return Reading(
            values=self.values,
            trouble_codes=None if self.codes is None else self.codes.codes,
            ecus_read=None if self.codes is None else self.codes.ecus_read,
            freeze_frames=self.frames,
            vin=self.vin,
            faults=tuple(self.faults),
        )


@dataclass(kw_only=True)
class _Session:
    """What belongs to one opened adapter."""

    tester: Tester
    parameters: Parameters
    codes: CodeReader
    frames: FrameReader
    plan: RatePlan


class ObdSource:
    """An ECU that does not answer is a fault in the reading; an adapter that is gone is a SourceError."""

    def __init__(
        self, config: ObdConfig, connect: Callable[[], Tester], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``connect`` opens the adapter, or raises SourceError."""
        self._config = config
        self._connect = connect
        self._clock = clock
        self._session: _Session | None = None
        self._several = Several()
        self._car: str | None = None  # VIN of the car of which ``_several`` knows
        self._dids = {definition.request_name: definition for definition in config.dids}

    @property
    def supported_pids(self) -> Mapping[int, tuple[str, ...]]:
        """PID -> response identifiers ("7E8") of the ECUs that have it, as discovered."""
        return {} if self._session is None else dict(self._session.parameters.ecus)

    def open(self) -> None:
        """Open the adapter and discover what the car has; a silent car is asked again later."""
        self.close()
        config = self._config
        tester = PoliteTester(self._connect(), config.limits)
        self._session = session = _Session(
            tester=tester,
            parameters=Parameters(tester, self._several),
            codes=CodeReader(tester, services=config.dtc_services, uds_ecus=config.uds_dtc_ecus),
            frames=FrameReader(tester),
            plan=RatePlan(()),
        )
        try:
            session.parameters.discover()
        except SourceError:
            self.close()
            raise
        session.plan = RatePlan(self._periods(session.parameters))
        if session.parameters.ecus:
            session.plan.done(_DISCOVER, self._clock())

    def poll(self) -> Reading | None:
        """Read what is due; waits up to ``idle_wait_s`` for it."""
        if self._session is None:
            raise SourceError("the source is not open; call open() first")
        session, gathered = self._session, _Gathered()
        due = self._due(session.plan)
        ends = self._clock() + self._config.longest_poll_s
        silent_ecus: set[int] = set()  # by request identifier
        asleep = False
        if not session.parameters.ecus:
            session.tester.unanswered = 0  # nothing but its own values tells that such a car is awake
        for number, step in enumerate(self._steps(session, due)):
            asleep = self._is_asleep(session)
            if asleep:
                gathered.faults.append(ReadFault(request=_named(step), reason="not asked: the car is silent"))
                break
            if number and self._clock() >= ends:
                break
            if step == _DISCOVER:
                if self._discover(session, gathered):
                    break  # everything is due in the new plan
            elif step == _TROUBLE_CODES:
                self._read_codes(session, gathered)
            elif step == _VIN:
                self._read_vin(session, gathered)
            elif isinstance(step, str):
                self._read_did(session, self._dids[step], silent_ecus, gathered)
            else:
                self._read_parameters(session, step, gathered)
        if asleep or (due and self._is_asleep(session)):
            session.plan.pause(self._clock(), self._config.discovery_period_s)
        return gathered.reading()

    def read_codes_soon(self) -> None:
        """Let the trouble codes be read in the next poll."""
        if self._session is not None:
            self._session.plan.soon(_TROUBLE_CODES)

    def close(self) -> None:
        """Let go of the adapter."""
        if self._session is not None:
            self._session.tester.close()
        self._session = None

    def _periods(self, parameters: Parameters) -> Iterable[tuple[str, float]]:
        """Reads of the plan that the car has; without an answering ECU only the looking for one, and the DIDs."""
        config, ecus = self._config, parameters.ecus
        yield _DISCOVER, config.rediscovery_period_s if ecus else config.discovery_period_s
        if config.read_vin and ecus:
            yield _VIN, _VIN_PERIOD_S  # before all else: values of another car are read by other definitions
        told = {signal.path for definition in config.dids for signal in definition.signals}
        for pid, period_s in config.pids.items():
            paths = {signal.path for signal in PIDS[pid].signals}
            if pid in ecus and not paths <= told:
                told |= paths
                yield parameters.dialect.request_name(pid), period_s
        for definition in config.dids:
            yield definition.request_name, definition.period_s
        if config.dtc_period_s is not None and (ecus or config.uds_dtc_ecus):
            yield _TROUBLE_CODES, config.dtc_period_s

    def _due(self, plan: RatePlan) -> list[str]:
        now = self._clock()
        due = plan.due(now)
        if due:
            return due
        upcoming = plan.next_due()
        wait_s = self._config.idle_wait_s
        time.sleep(max(0.0, wait_s if upcoming is None else min(wait_s, upcoming - now)))
        return plan.due(self._clock())

    def _steps(self, session: _Session, due: list[str]) -> Iterator[_Step]:
        """What is due, in its order, parameters put together where they may be."""
        names = {session.parameters.dialect.request_name(pid): pid for pid in self._config.pids}
        groups = session.parameters.groups([names[key] for key in due if key in names])
        by_first = {group[0]: group for group in groups}
        for key in due:
            if key not in names:
                yield key
            elif names[key] in by_first:
                yield by_first[names[key]]

    def _discover(self, session: _Session, gathered: _Gathered) -> bool:
        """Look for parameters; True if there are others than before, and so another plan."""
        before = dict(session.parameters.ecus)
        gathered.faults.extend(session.parameters.discover())
        if session.parameters.ecus != before:
            session.plan = RatePlan(self._periods(session.parameters))
            _log.info("The car has %d parameters", len(session.parameters.ecus))
        session.plan.done(_DISCOVER, self._clock())
        return session.parameters.ecus != before

    def _is_asleep(self, session: _Session) -> bool:
        """Whether nobody answers any more; ECUs of which the car has none do not make a silent car."""
        if session.tester.unanswered < _SILENT_READS:
            return False
        return not (session.parameters.ecus and session.parameters.is_answered())

    def _read_parameters(self, session: _Session, group: tuple[int, ...], gathered: _Gathered) -> None:
        for pid, decoded in session.parameters.read(group).items():
            gathered.add(decoded)
            session.plan.done(session.parameters.dialect.request_name(pid), self._clock())

    def _read_did(
        self, session: _Session, definition: DidDefinition, silent_ecus: set[int], gathered: _Gathered
    ) -> None:
        """One of the maker's values; an ECU that was silent once is not asked for another in the same poll."""
        name = definition.request_name
        later_s = max(definition.period_s, self._config.discovery_period_s)
        if definition.request_id in silent_ecus:
            gathered.faults.append(ReadFault(request=name, reason="not asked: this ECU is silent"))
            session.plan.done(name, self._clock(), again_s=later_s)
            return
        before = session.tester.unanswered
        address = IsoTpAddress(transmit_id=definition.request_id, receive_id=definition.response_id)
        try:
            gathered.add(did.decode(definition, session.tester.physical(address, definition.request)))
        except AnswerError as error:
            gathered.faults.append(ReadFault(request=name, reason=str(error)))
        silent = session.tester.unanswered > before
        if silent:
            silent_ecus.add(definition.request_id)
        session.plan.done(name, self._clock(), again_s=later_s if silent else None)

    def _read_codes(self, session: _Session, gathered: _Gathered) -> None:
        ecus = {ecu for having in session.parameters.ecus.values() for ecu in having}
        gathered.codes = session.codes.read(ecus, session.parameters.dialect)
        gathered.faults.extend(gathered.codes.faults)
        if session.parameters.dialect is OBD and gathered.codes.codes is not None:
            frames = session.frames.of_new(gathered.codes.codes, ecus)
            gathered.frames.update({key: frame.values for key, frame in frames.items() if frame.values})
        session.plan.done(_TROUBLE_CODES, self._clock())

    def _read_vin(self, session: _Session, gathered: _Gathered) -> None:
        gathered.vin, faults = read_vin(session.tester, session.parameters.dialect.vin, known=self._car)
        gathered.faults.extend(faults)
        if gathered.vin is not None:
            self._is_car(gathered.vin)
        session.plan.done(_VIN, self._clock(), again_s=None if gathered.vin is not None else _VIN_RETRY_S)

    def _is_car(self, vin: str) -> None:
        """Forget how the ECUs of another car are."""
        if self._car not in {None, vin}:
            self._several.forget()
        self._car = vin


def _named(step: _Step) -> str:
    return step if isinstance(step, str) else ", ".join(f"PID {pid:02X}" for pid in step)
