"""Which parameters a car has, and reading them: one by one, or several at once from an ECU that proved to cope."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from edge_agent.obd import service01
from edge_agent.obd.answers import AnswerError, Decoded
from edge_agent.obd.dialect import OBD, OBD_ON_UDS, Dialect
from edge_agent.obd.pids import PIDS
from edge_agent.sources.base import ReadFault
from edge_agent.tester.base import Exchange, Tester, address_of

_log = logging.getLogger(__name__)

_SILENT_IN_A_ROW: Final = 2
_MISSED_BY_A_VOICE: Final = 5  # reads in a row; one lost frame is no reason to change whom to believe
_DIALECTS: Final = (OBD, OBD_ON_UDS)
# Slow or constant ones: two answers a moment apart are the same, and so can be compared.
_STEADY_PIDS: Final = (0x33, 0xA6, 0x2F, 0x46, 0x05, 0x5C, 0x0F, 0x42, 0x31, 0x30, 0x21)


class Several:
    """What is known of each ECU's way with several parameters in one request; kept while the agent runs.

    The standard asks it of every ECU on CAN; some old ones answer in part, in another order, or stop answering for a
    while. So each is tried once, and the first oddity ends it for good.
    """

    def __init__(self) -> None:
        self._copes: dict[str, bool] = {}

    def forget(self) -> None:
        """It is another car now."""
        self._copes.clear()

    def tried(self, ecu: str) -> bool:
        """Whether it is known."""
        return ecu in self._copes

    def copes(self, ecu: str) -> bool:
        """Whether it has proved to cope."""
        return self._copes.get(ecu, False)

    def proved(self, ecu: str) -> None:
        """It answered several at once as it answers each alone."""
        self._copes[ecu] = True

    def failed(self, ecu: str, why: str) -> None:
        """It did not: never again."""
        if self._copes.get(ecu) is not False:
            _log.info("ECU %s is asked for one parameter at a time: %s", ecu, why)
        self._copes[ecu] = False


class Parameters:
    """The parameters of one car behind one tester. ``several`` outlives the tester."""

    def __init__(self, tester: Tester, several: Several) -> None:
        self._tester = tester
        self._several = several
        self.dialect: Dialect = OBD
        self._voices: dict[
            int, tuple[str, int]
        ] = {}  # PID -> the ECU whose value counts, and how often it failed since
        self.ecus: dict[int, tuple[str, ...]] = {}  # PID -> response identifiers of the ECUs that have it

    def discover(self) -> tuple[ReadFault, ...]:
        """Ask which parameters there are. What was there before stays: an ECU that sleeps has not lost it."""
        if self.ecus:
            found, faults = self._supported(self.dialect)
        else:
            found, faults = self._first_found()
        known = {pid: set(ecus) for pid, ecus in self.ecus.items()}
        for pid in found.keys() - set(service01.BITMAP_PIDS):
            known.setdefault(pid, set()).update(found[pid])
        self.ecus = {pid: tuple(sorted(ecus)) for pid, ecus in known.items()}
        return faults

    def groups(self, pids: Sequence[int]) -> list[tuple[int, ...]]:
        """The same parameters in the order given, put together where one request may ask for them."""
        groups: list[tuple[int, ...]] = []
        open_group: dict[str, int] = {}  # ECU -> index of its group that has room
        for pid in pids:
            ecus = self.ecus.get(pid, ())
            alone = len(ecus) != 1 or not self.dialect.several
            if alone or (self._several.tried(ecus[0]) and not self._several.copes(ecus[0])):
                groups.append((pid,))
                continue
            index = open_group.get(ecus[0])
            if index is None or len(groups[index]) == service01.MOST_AT_ONCE:
                open_group[ecus[0]] = len(groups)
                groups.append((pid,))
            else:
                groups[index] += (pid,)
        return groups

    def read(self, group: Sequence[int]) -> dict[int, Decoded]:
        """PID -> its values, of one group of :meth:`groups`; what could not be read is a fault.

        Those that were not asked, because the ECU fell silent meanwhile, are absent.
        """
        if len(group) == 1:
            return {group[0]: self._one(group[0])}
        ecu = self.ecus[group[0]][0]
        if not self._several.tried(ecu):
            return self._tried(ecu, group)
        if not self._several.copes(ecu):  # shown by the group before this one
            return self._each(group)
        before = self._tester.unanswered
        try:
            return self._at_once(ecu, group)
        except AnswerError as error:
            singly = self._each(group, silent=self._tester.unanswered - before)
            if any(decoded.values for decoded in singly.values()):  # else it is asleep, which says nothing
                self._several.failed(ecu, str(error))
            pids = " ".join(f"{pid:02X}" for pid in group)
            failed = ReadFault(request=f"service 01 PIDs {pids} at {ecu}", reason=str(error))
            return _with_fault(singly, failed)

    def is_answered(self) -> bool:
        """Whether any ECU still answers the first question."""
        return bool(self._tester.functional(self.dialect.request(0), expected=None, enough=1).answers)

    def _first_found(self) -> tuple[dict[int, set[str]], tuple[ReadFault, ...]]:
        """By the dialect that is answered; what failed of the first one, if none is."""
        failed: tuple[ReadFault, ...] = ()
        for dialect in _DIALECTS:
            found, faults = self._supported(dialect)
            if found:
                if dialect is not self.dialect:
                    _log.info("The car speaks %s", dialect.name)
                self.dialect = dialect
                return found, faults
            failed = failed or faults
        return {}, failed

    def _supported(self, dialect: Dialect) -> tuple[dict[int, set[str]], tuple[ReadFault, ...]]:
        found: dict[int, set[str]] = {}
        faults: list[ReadFault] = []
        wanted = {service01.BITMAP_PIDS[0]}
        for bitmap in service01.BITMAP_PIDS:
            if bitmap not in wanted:
                continue
            exchange = self._twice_if_lost(dialect.request(bitmap), found.get(bitmap, set()))
            for ecu, payload in exchange.answers.items():
                try:
                    supported = dialect.decode_supported(bitmap, payload)
                except AnswerError as error:
                    faults.append(ReadFault(request=f"{dialect.request_name(bitmap)} at {ecu}", reason=str(error)))
                    continue
                for pid in supported:
                    found.setdefault(pid, set()).add(ecu)
                    wanted.add(pid)
            if bitmap == 0 and not exchange.answers:
                reason = exchange.reason(self._tester.timeout_s)
                faults.append(ReadFault(request=dialect.request_name(0), reason=reason))
        return found, tuple(faults)

    def _twice_if_lost(self, request: bytes, expected: set[str]) -> Exchange:
        """One lost frame would hide 32 parameters."""
        exchange = self._tester.functional(request, expected=expected or None)
        if not expected <= exchange.answers.keys():
            exchange = self._tester.functional(request, expected=expected)
        return exchange

    def _one(self, pid: int) -> Decoded:
        """One parameter from all ECUs that have it."""
        ecus, name = self.ecus.get(pid, ()), self.dialect.request_name(pid)
        exchange = self._tester.functional(self.dialect.request(pid), expected=set(ecus))
        parts: list[Decoded] = []
        for ecu in ecus:
            reason = exchange.reason(self._tester.timeout_s)
            if ecu in exchange.answers:
                try:
                    parts.append(self.dialect.decode(pid, exchange.answers[ecu]))
                    continue
                except AnswerError as error:
                    reason = str(error)
            parts.append(Decoded(faults=(ReadFault(request=f"{name} at {ecu}", reason=reason),)))
        combined = service01.combine(parts)
        if all(signal.combine == "first" for signal in PIDS[pid].signals):
            return self._of_one_voice(
                pid, {ecu: part for ecu, part in zip(ecus, parts, strict=True) if part.values}, combined
            )
        if combined.faults:
            return Decoded(faults=combined.faults)  # a sum over some of the ECUs is not the car's
        return combined

    def _of_one_voice(self, pid: int, spoken: Mapping[str, Decoded], combined: Decoded) -> Decoded:
        """The values of the ECU that gave them before: another's odometer may be some kilometres off.

        Another one's are taken once it has failed several times in a row.
        """
        voice, missed = self._voices.get(pid, ("", _MISSED_BY_A_VOICE))
        if voice not in spoken and missed + 1 < _MISSED_BY_A_VOICE:
            self._voices[pid] = voice, missed + 1
            return Decoded(faults=combined.faults)
        if voice not in spoken:
            voice = next(iter(spoken), "")
        if voice:
            self._voices[pid] = voice, 0
        return Decoded(values=spoken[voice].values if voice else {}, faults=combined.faults)

    def _each(self, group: Sequence[int], *, silent: int = 0) -> dict[int, Decoded]:
        """One after the other, until two in a row are met with silence; ``silent``: requests just before that were."""
        read: dict[int, Decoded] = {}
        for pid in group:
            before = self._tester.unanswered
            read[pid] = self._one(pid)
            silent = silent + 1 if self._tester.unanswered > before else 0
            if silent >= _SILENT_IN_A_ROW:
                break
        return read

    def _at_once(self, ecu: str, group: Sequence[int]) -> dict[int, Decoded]:
        """Several in one request; AnswerError where the answer is anything but exactly what was asked."""
        data = service01.decode_several(group, self._several_from(ecu, group))
        return {pid: service01.decode_data(pid, data[pid], self.dialect.request_name(pid)) for pid in group}

    def _several_from(self, ecu: str, group: Sequence[int]) -> bytes:
        request = service01.request(*group)
        if {other for ecus in self.ecus.values() for other in ecus} != {ecu}:
            return self._tester.physical(address_of(ecu), request)  # others would be asked for what they lack
        exchange = self._tester.functional(request, expected={ecu})  # saves an adapter the change of address
        if ecu not in exchange.answers:
            raise AnswerError(exchange.reason(self._tester.timeout_s))
        return exchange.answers[ecu]

    def _tried(self, ecu: str, group: Sequence[int]) -> dict[int, Decoded]:
        """Each alone, and then two of them together: the answers must be the same."""
        singly = self._each(group)
        steady = sorted(group, key=lambda pid: _STEADY_PIDS.index(pid) if pid in _STEADY_PIDS else len(_STEADY_PIDS))
        pair = sorted(steady[:2], key=list(group).index)
        if all(pid in singly and singly[pid].values for pid in pair):
            self._compare(ecu, {pid: singly[pid].values for pid in pair})
        return singly

    def _compare(self, ecu: str, before: Mapping[int, Mapping[str, float]]) -> None:
        """Values that move are compared with those before and after."""
        pair = list(before)
        try:
            together = self._at_once(ecu, pair)
        except AnswerError as error:
            if self._one(pair[0]).values:
                self._several.failed(ecu, str(error))
            return
        after = {pid: self._one(pid).values for pid in pair}
        for pid in pair:
            for path, value in before[pid].items():
                if path not in after[pid]:
                    return  # it may have fallen asleep; tried again
                low, high = sorted((value, after[pid][path]))
                found = together[pid].values.get(path)
                if found is None or not low <= found <= high:
                    self._several.failed(ecu, f"{path} was {found} among several and {value:g} alone")
                    return
        self._several.proved(ecu)


def _with_fault(read: dict[int, Decoded], fault: ReadFault) -> dict[int, Decoded]:
    first = next(iter(read))
    return read | {first: Decoded(values=read[first].values, faults=(fault, *read[first].faults))}
