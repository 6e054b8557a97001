"""Frames of a J1939 bus -> readings: parameters once a period, active trouble codes of those heard. Pure."""

from collections.abc import Mapping
from typing import Final

from edge_agent.j1939 import dm1
from edge_agent.j1939.parameters import PARAMETERS, Parameter
from edge_agent.j1939.transport import CONNECTION, DATA, EVERYBODY, BroadcastTransfers, header
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.vehicle_information import vin_text
from edge_agent.sources.base import ReadFault, Reading, TroubleCode
from edge_agent.sources.broadcast_frames import FrameFilter
from edge_agent.sources.broadcast_layout import EXTENDED
from edge_agent.sources.broadcast_listener import FIRST_S

_ANY_SOURCE: Final = 0x03FF_FF00 | EXTENDED  # all of the parameter group and destination, nothing of the priority
_VIN_GROUP: Final = 65260  # VI, sent by some unasked
_MIL: Final = "Vehicle.OBD.Status.IsMILOn"
_BY_GROUP: Final[Mapping[int, tuple[Parameter, ...]]] = {
    group: tuple(each for each in PARAMETERS if each.group == group) for group in {each.group for each in PARAMETERS}
}


class J1939Listener:
    """The newest message of each kind from each control unit; of several with one value, the lowest address speaks.

    One voice for each value: an odometer that comes from the engine now and from the instruments then would jump.
    """

    def __init__(self, *, period_s: float) -> None:
        self._period_s = period_s
        self._transfers = BroadcastTransfers()
        self._newest: dict[tuple[int, int], bytes] = {}  # (group, source) -> data heard since the last reading
        self._voices: dict[str, tuple[int, int]] = {}  # path -> rank and address of who speaks for it
        self._lamps: dict[int, bool] = {}  # address -> whether it lights the MIL
        self._next: float | None = None

    @property
    def filters(self) -> tuple[FrameFilter, ...]:
        """See :class:`edge_agent.sources.broadcast_listener.Listener`."""
        groups = (*_BY_GROUP, dm1.GROUP, _VIN_GROUP, CONNECTION | EVERYBODY, DATA | EVERYBODY)
        return tuple(FrameFilter(key=group << 8 | EXTENDED, mask=_ANY_SOURCE) for group in groups)

    def hear(self, key: int, data: bytes, now: float) -> None:
        """See :class:`edge_agent.sources.broadcast_listener.Listener`."""
        if not key & EXTENDED:
            return
        frame = header(key)
        if frame.group in {CONNECTION, DATA}:
            whole = self._transfers.hear(frame, data, now)
            if whole is not None:
                self._newest[whole[0], frame.source] = whole[1]
        elif frame.group in _BY_GROUP or frame.group in {dm1.GROUP, _VIN_GROUP}:
            self._newest[frame.group, frame.source] = data

    def take(self, now: float) -> Reading:
        """See :class:`edge_agent.sources.broadcast_listener.Listener`."""
        if self._next is None:
            if self._newest:
                self._next = now + FIRST_S
            return Reading()
        if now < self._next:
            return Reading()
        self._next = max(self._next + self._period_s, now)
        newest, self._newest = self._newest, {}
        faults: list[ReadFault] = []
        values = self._values(newest, faults)
        vin = self._vin(newest, faults)
        codes: list[TroubleCode] = []
        said: set[str] = set()
        for (group, source), data in sorted(newest.items()):
            ecu = f"{0x18000000 | dm1.GROUP << 8 | source:08X}"
            if group == dm1.GROUP:
                try:
                    active = dm1.decode(data)
                except dm1.Dm1Error as error:
                    faults.append(ReadFault(request=f"DM1 of {ecu}", reason=str(error)))
                    continue
                said.add(ecu)
                codes.extend(active.trouble_codes(ecu))
                if active.malfunction != "unknown":
                    self._lamps[source] = active.malfunction == "on"
        if said and self._lamps:
            values[_MIL] = float(any(self._lamps.values()))
        return Reading(
            values=values,
            trouble_codes=tuple(codes) if said else None,
            ecus_read=frozenset(said) if said else None,
            vin=vin,
            faults=tuple(faults),
        )

    def _values(self, newest: Mapping[tuple[int, int], bytes], faults: list[ReadFault]) -> dict[str, float]:
        values: dict[str, float] = {}
        for (group, source), data in sorted(newest.items()):
            for parameter in _BY_GROUP.get(group, ()):
                if len(data) < parameter.first_byte - 1 + parameter.length:
                    request = f"SPN {parameter.spn} of {source:02X}"
                    faults.append(ReadFault(request=request, reason=f"{len(data)} bytes are too few"))
                    continue
                value = parameter.value(data)
                voice = (parameter.rank, source)
                if value is not None and voice <= self._voices.setdefault(parameter.path, voice):
                    self._voices[parameter.path] = voice
                    values[parameter.path] = value
        return values

    def _vin(self, newest: Mapping[tuple[int, int], bytes], faults: list[ReadFault]) -> str | None:
        for (group, source), data in sorted(newest.items()):
            if group != _VIN_GROUP:
                continue
            try:
                return vin_text(data.split(b"*")[0])  # the standard ends it with an asterisk
            except AnswerError as error:
                faults.append(ReadFault(request=f"VIN of {source:02X}", reason=str(error)))
        return None
