"""The ECUs of a virtual car: a request in, an answer out or silence. No bus and no clock here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_agent.obd.did import DidDefinition
from edge_agent.obd.trouble_codes import code_bytes
from edge_agent.tester.base import IsoTpAddress
from edge_agent.virtual_car.diagnostics import MISFIRE_CODE, DtcMemory
from edge_agent.virtual_car.encode import ENCODERS, SUPPORTED_PIDS, TRANSMISSION_PIDS, bitmap, did_data
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.read_dtc import read_dtc
from edge_agent.virtual_car.refused import (
    OUT_OF_RANGE,
    SERVICE_NOT_SUPPORTED,
    SUB_FUNCTION_NOT_SUPPORTED,
    WRONG_LENGTH,
    Refused,
    require_length,
)
from edge_agent.virtual_car.signals import signals

# ISO 14229-1, 8.7: an ECU asked together with others stays silent about what it does not have.
_SILENT_WHEN_FUNCTIONAL = frozenset({SERVICE_NOT_SUPPORTED, SUB_FUNCTION_NOT_SUPPORTED, OUT_OF_RANGE})
_FREEZE_FRAME_PIDS = frozenset({0x04, 0x05, 0x06, 0x07, 0x0B, 0x0C, 0x0D, 0x11})
_NAMES = (b"ECM\x00-EngineControl", b"HPCM-HybridPtCtrl")  # by whether it is electric
_PARAMETERS, _VIN_DID, _VIN_DID_OF_MAKER = 0xF4, b"\xf8\x02", b"\xf1\x90"
_ALL_CODES, _EMISSIONS_CODES = b"\xff\xff\xff", b"\xff\xff\x33"  # groups of service 14
# ISO 15765-4: engine and transmission at 7E0 and 7E1; with 29 bits ECU xx is asked by 18DAxxF1 and answers 18DAF1xx.
_ADDRESSES: Mapping[int, tuple[IsoTpAddress, IsoTpAddress]] = {
    11: (IsoTpAddress(transmit_id=0x7E8, receive_id=0x7E0), IsoTpAddress(transmit_id=0x7E9, receive_id=0x7E1)),
    29: (
        IsoTpAddress(transmit_id=0x18DAF110, receive_id=0x18DA10F1),
        IsoTpAddress(transmit_id=0x18DAF118, receive_id=0x18DA18F1),
    ),
}


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
        self._on_uds = car.config.diagnostics == "obd_on_uds"
        if role.pids:
            self._services |= {0x14: self._clear_group, 0x19: self._read_dtc}
        if role.pids and not self._on_uds:
            self._services |= {
                0x01: self._current_data,
                0x02: self._freeze_frame,
                0x03: self._codes,
                0x04: self._clear,
                0x07: self._codes,
                0x0A: self._codes,
            }
            if role.engine:
                self._services |= {0x09: self._vehicle_information}

    def answer(self, request: bytes, *, functional: bool = False) -> bytes | None:
        """Answer to one request; None is silence."""
        if not self._car.awake or not request:
            return None
        try:
            answer = self._services.get(request[0], _unknown_service)(request)
        except Refused as refused:
            if functional and refused.code in _SILENT_WHEN_FUNCTIONAL:
                return None
            return bytes((0x7F, request[0], refused.code))
        return answer or None

    @property
    def _dtc(self) -> DtcMemory | None:
        return self._car.model.dtc if self.role.engine else None

    def _current_data(self, request: bytes) -> bytes:
        if not 2 <= len(request) <= 7:  # up to six parameters (SAE J1979, 6.1)
            raise Refused(WRONG_LENGTH)
        values = self._values()
        answer = b"".join(bytes((pid,)) + data for pid in request[1:] if (data := self._parameter(pid, values)))
        if not answer:
            raise Refused(SUB_FUNCTION_NOT_SUPPORTED)
        return b"\x41" + answer

    def _values(self) -> Mapping[str, float]:
        values = signals(self._car.model)
        if not self.role.engine:
            values |= {"Vehicle.OBD.Status.IsMILOn": 0.0, "Vehicle.Diagnostics.DTCCount": 0.0}
        return values

    def _parameter(self, pid: int, values: Mapping[str, float]) -> bytes | None:
        """Data of a parameter or of a bitmap of parameters; None if the ECU does not have it."""
        if pid % 0x20 == 0 and (pid == 0 or any(other > pid for other in self.role.pids)):
            return bitmap(self.role.pids, pid)
        return ENCODERS[pid](values) if pid in self.role.pids else None

    def _freeze_frame(self, request: bytes) -> bytes:
        require_length(request, 3)
        frozen = self._dtc.frozen if self._dtc else None
        pids = self.role.pids & _FREEZE_FRAME_PIDS if frozen is not None else frozenset()
        if request[2] == 0 and request[1] == 0x02:
            return b"\x42\x02\x00" + (code_bytes(MISFIRE_CODE) if frozen is not None else b"\x00\x00")
        if request[2] == 0 and request[1] == 0x00:
            return b"\x42\x00\x00" + bitmap(pids | {0x02}, 0)
        if request[2] or frozen is None or request[1] not in pids:
            raise Refused(SUB_FUNCTION_NOT_SUPPORTED)
        return b"\x42" + request[1:] + ENCODERS[request[1]](frozen)

    def _codes(self, request: bytes) -> bytes:
        require_length(request, 1)
        codes = self._dtc.codes(request[0]) if self._dtc else ()
        return bytes((request[0] + 0x40, len(codes))) + b"".join(code_bytes(code) for code in codes)

    def _clear(self, request: bytes) -> bytes:
        require_length(request, 1)
        if self._dtc:
            self._dtc.clear()
        return b"\x44"

    def _clear_group(self, request: bytes) -> bytes:
        require_length(request, 4)
        if request[1:] not in {_ALL_CODES, _EMISSIONS_CODES}:
            raise Refused(OUT_OF_RANGE)
        if self._dtc:
            self._dtc.clear()
        return b"\x54"

    def _read_dtc(self, request: bytes) -> bytes:
        return read_dtc(request, self._dtc or DtcMemory(confirm_after_s=1.0))

    def _vehicle_information(self, request: bytes) -> bytes:
        require_length(request, 2)
        items = {
            0x02: self._car.config.vin.encode("ascii"),
            0x04: b"WEARCAST-0001".ljust(16, b"\x00"),
            0x06: bytes.fromhex("1791BC82"),
            0x0A: _NAMES[self._car.config.kind == "electric"].ljust(20, b"\x00"),
        }
        if request[1] == 0x00:
            return b"\x49\x00" + bitmap(items, 0)
        if request[1] not in items:
            raise Refused(SUB_FUNCTION_NOT_SUPPORTED)
        return bytes((0x49, request[1], 1)) + items[request[1]]

    def _data_by_identifier(self, request: bytes) -> bytes:
        service, size = request[0], 1 if request[0] == 0x21 else 2
        if len(request) < 1 + size or (len(request) - 1) % size:
            raise Refused(WRONG_LENGTH)
        values = self._values()
        answer = b""
        for start in range(1, len(request), size):
            echo = request[start : start + size]
            data = self._own(service, echo, values)
            if data is None and service == 0x22 and self._on_uds:
                data = self._standard(echo, values)
            answer += b"" if data is None else echo + data
        if not answer:
            raise Refused(OUT_OF_RANGE)
        return bytes((service + 0x40,)) + answer

    def _own(self, service: int, echo: bytes, values: Mapping[str, float]) -> bytes | None:
        for definition in self.role.dids:
            if definition.request == bytes((service,)) + echo:
                try:
                    return did_data(definition, values)
                except KeyError:  # a car of another kind has no such part
                    raise Refused(OUT_OF_RANGE) from None
        return None

    def _standard(self, echo: bytes, values: Mapping[str, float]) -> bytes | None:
        """Identifiers that stand for services 01 and 09 (SAE J1979-2)."""
        if echo[0] == _PARAMETERS:
            return self._parameter(echo[1], values)
        if echo in {_VIN_DID, _VIN_DID_OF_MAKER} and self.role.engine:
            return self._car.config.vin.encode("ascii")
        return None

    def _tester_present(self, request: bytes) -> bytes:
        if len(request) != 2:
            raise Refused(WRONG_LENGTH)
        if request[1] & 0x7F:
            raise Refused(SUB_FUNCTION_NOT_SUPPORTED)
        return b"" if request[1] & 0x80 else b"\x7e\x00"  # bit 7: no positive answer wanted


def _unknown_service(_request: bytes) -> bytes:
    raise Refused(SERVICE_NOT_SUPPORTED)


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
