"""The ECUs of a virtual car: a request in, an answer out or silence. No bus and no clock here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_agent.obd.did import DidDefinition
from edge_agent.obd.trouble_codes import code_bytes
from edge_agent.tester.base import IsoTpAddress
from edge_agent.virtual_car.diagnostics import MISFIRE_CODE, DtcMemory
from edge_agent.virtual_car.encode import ENCODERS, SUPPORTED_PIDS, TRANSMISSION_PIDS, bitmap, did_data
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.signals import signals

_SERVICE_NOT_SUPPORTED, _SUB_FUNCTION_NOT_SUPPORTED, _WRONG_LENGTH, _OUT_OF_RANGE = 0x11, 0x12, 0x13, 0x31
# ISO 14229-1, 8.7: an ECU asked together with others stays silent about what it does not have.
_SILENT_WHEN_FUNCTIONAL = frozenset({_SERVICE_NOT_SUPPORTED, _SUB_FUNCTION_NOT_SUPPORTED, _OUT_OF_RANGE})
_STATUS_AVAILABILITY = 0x8D  # test failed, pending, confirmed, warning lamp
# ISO 15765-4: engine and transmission at 7E0 and 7E1; with 29 bits ECU xx is asked by 18DAxxF1 and answers 18DAF1xx.
_ADDRESSES: Mapping[int, tuple[IsoTpAddress, IsoTpAddress]] = {
    11: (IsoTpAddress(transmit_id=0x7E8, receive_id=0x7E0), IsoTpAddress(transmit_id=0x7E9, receive_id=0x7E1)),
    29: (
        IsoTpAddress(transmit_id=0x18DAF110, receive_id=0x18DA10F1),
        IsoTpAddress(transmit_id=0x18DAF118, receive_id=0x18DA18F1),
    ),
}


class _Refused(Exception):  # noqa: N818 - it is an answer, not an error
    def __init__(self, code: int) -> None:
        super().__init__(f"NRC 0x{code:02X}")
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Role:
    """What an ECU is: its addresses as it sees them, its PIDs, its DIDs, and whether it keeps codes."""

    address: IsoTpAddress  # transmits answers, receives requests
    pids: frozenset[int] = frozenset()
    dids: tuple[DidDefinition, ...] = ()
    engine: bool = False


class Ecu:
    """Answers for one role of one car."""

    def __init__(self, role: Role, car: LiveCar) -> None:
        self.role = role
        self._car = car
        self._services: dict[int, Callable[[bytes], bytes]] = {
            0x21: self._data_by_identifier,
            0x22: self._data_by_identifier,
            0x3E: self._tester_present,
        }
        if role.pids:
            self._services |= {
                0x01: self._current_data,
                0x03: self._codes,
                0x04: self._clear,
                0x07: self._codes,
                0x0A: self._codes,
            }
        if role.engine:
            self._services |= {0x09: self._vehicle_information, 0x19: self._codes_by_status}

    def answer(self, request: bytes, *, functional: bool = False) -> bytes | None:
        """Answer to one request; None is silence."""
        if not self._car.awake or not request:
            return None
        try:
            answer = self._services.get(request[0], _unknown_service)(request)
        except _Refused as refused:
            if functional and refused.code in _SILENT_WHEN_FUNCTIONAL:
                return None
            return bytes((0x7F, request[0], refused.code))
        return answer or None

    @property
    def _dtc(self) -> DtcMemory | None:
        return self._car.model.dtc if self.role.engine else None

    def _current_data(self, request: bytes) -> bytes:
        if not 2 <= len(request) <= 7:  # up to six parameters (SAE J1979, 6.1)
            raise _Refused(_WRONG_LENGTH)
        values = signals(self._car.model)
        if not self.role.engine:
            values |= {"Vehicle.OBD.Status.IsMILOn": 0.0, "Vehicle.Diagnostics.DTCCount": 0.0}
        answer = b""
        for pid in request[1:]:
            if pid % 0x20 == 0 and (pid == 0 or any(other > pid for other in self.role.pids)):
                answer += bytes((pid,)) + bitmap(self.role.pids, pid)
            elif pid in self.role.pids:
                answer += bytes((pid,)) + ENCODERS[pid](values)
        if not answer:
            raise _Refused(_SUB_FUNCTION_NOT_SUPPORTED)
        return b"\x41" + answer

    def _codes(self, request: bytes) -> bytes:
        if len(request) != 1:
            raise _Refused(_WRONG_LENGTH)
        codes = self._dtc.codes(request[0]) if self._dtc else ()
        return bytes((request[0] + 0x40, len(codes))) + b"".join(code_bytes(code) for code in codes)

    def _clear(self, request: bytes) -> bytes:
        if len(request) != 1:
            raise _Refused(_WRONG_LENGTH)
        if self._dtc:
            self._dtc.clear()
        return b"\x44"

    def _vehicle_information(self, request: bytes) -> bytes:
        if len(request) != 2:
            raise _Refused(_WRONG_LENGTH)
        if request[1] == 0x00:
            return b"\x49\x00" + bitmap({0x02}, 0)
        if request[1] == 0x02:
            return b"\x49\x02\x01" + self._car.config.vin.encode("ascii")
        raise _Refused(_SUB_FUNCTION_NOT_SUPPORTED)

    def _data_by_identifier(self, request: bytes) -> bytes:
        service, size = request[0], 1 if request[0] == 0x21 else 2
        if len(request) < 1 + size or (len(request) - 1) % size:
            raise _Refused(_WRONG_LENGTH)
        values = signals(self._car.model)
        answer = b""
        for start in range(1, len(request), size):
            echo = request[start : start + size]
            for definition in self.role.dids:
                if definition.request == bytes((service,)) + echo:
                    try:
                        answer += echo + did_data(definition, values)
                    except KeyError:  # a car of another kind has no such part
                        raise _Refused(_OUT_OF_RANGE) from None
        if not answer:
            raise _Refused(_OUT_OF_RANGE)
        return bytes((service + 0x40,)) + answer

    def _codes_by_status(self, request: bytes) -> bytes:
        if len(request) < 2:
            raise _Refused(_WRONG_LENGTH)
        if request[1] != 0x02:
            raise _Refused(_SUB_FUNCTION_NOT_SUPPORTED)
        if len(request) != 3:
            raise _Refused(_WRONG_LENGTH)
        dtc = self._car.model.dtc
        status = 0x01 * dtc.failing | 0x04 * dtc.pending | 0x08 * dtc.confirmed | 0x80 * dtc.mil_on
        answer = bytes((0x59, 0x02, _STATUS_AVAILABILITY))
        if status & request[2] and (dtc.pending or dtc.confirmed):
            answer += code_bytes(MISFIRE_CODE) + bytes((0x00, status))
        return answer

    def _tester_present(self, request: bytes) -> bytes:
        if len(request) != 2:
            raise _Refused(_WRONG_LENGTH)
        if request[1] & 0x7F:
            raise _Refused(_SUB_FUNCTION_NOT_SUPPORTED)
        return b"" if request[1] & 0x80 else b"\x7e\x00"  # bit 7: no positive answer wanted


def _unknown_service(_request: bytes) -> bytes:
    raise _Refused(_SERVICE_NOT_SUPPORTED)


def ecus_of(car: LiveCar) -> tuple[Ecu, ...]:
    """Engine, transmission (not in an electric car), and one ECU for each further address of the DIDs."""
    config = car.config
    dids: dict[IsoTpAddress, list[DidDefinition]] = {}
    for definition in config.dids:
        address = IsoTpAddress(transmit_id=definition.response_id, receive_id=definition.request_id)
        dids.setdefault(address, []).append(definition)
    engine, transmission = _ADDRESSES[config.identifier_bits]
    roles = [
        Role(address=engine, pids=SUPPORTED_PIDS[config.kind], dids=tuple(dids.pop(engine, ())), engine=True),
    ]
    if config.kind != "electric":
        roles.append(Role(address=transmission, pids=TRANSMISSION_PIDS, dids=tuple(dids.pop(transmission, ()))))
    roles.extend(Role(address=address, dids=tuple(definitions)) for address, definitions in dids.items())
    return tuple(Ecu(role, car) for role in roles)
