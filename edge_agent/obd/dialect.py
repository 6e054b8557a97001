"""The two ways in which a car tells the same: services 01 to 0A (SAE J1979), or OBDonUDS (SAE J1979-2).

Which of them it speaks is found by asking; what reads a car does not care.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edge_agent.obd import dtc_records, obd_on_uds, service01, trouble_codes, vehicle_information
from edge_agent.obd.answers import Decoded
from edge_agent.sources.base import TroubleCode


@dataclass(frozen=True, kw_only=True)
class CodeRequest:
    """A request for trouble codes: its bytes, how a fault names it, and what an answer says (payload, ECU -> codes).

    ``optional``: came later than the others, so that an ECU may lack it.
    """

    request: bytes
    name: str
    decode: Callable[[bytes, str], tuple[TroubleCode, ...]]
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class VinRequest:
    """A request for the VIN, how a fault names it, and what an answer says."""

    request: bytes
    name: str
    decode: Callable[[bytes], str]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How parameters, codes and the VIN are asked for, and what the answers say. Parameters by their PID.

    ``several``: whether some parameters may be asked for in one request.
    """

    name: str
    request: Callable[[int], bytes]
    request_name: Callable[[int], str]
    decode_supported: Callable[[int, bytes], frozenset[int]]
    decode: Callable[[int, bytes], Decoded]
    codes: Callable[[tuple[int, ...]], tuple[CodeRequest, ...]]
    vin: tuple[VinRequest, ...]
    several: bool


def _stored(service: int) -> CodeRequest:
    return CodeRequest(
        request=bytes((service,)),
        name=trouble_codes.request_name(service),
        decode=lambda payload, ecu: trouble_codes.decode_stored(service, payload, ecu=ecu),
        optional=service == trouble_codes.PERMANENT,
    )


_OF_GROUP = CodeRequest(
    request=dtc_records.emissions_request(),
    name="service 19 42",
    decode=lambda payload, ecu: obd_on_uds.trouble_codes(dtc_records.decode_emissions(payload), ecu=ecu),
)
_PERMANENT = CodeRequest(
    request=dtc_records.permanent_request(),
    name="service 19 55",
    decode=lambda payload, ecu: obd_on_uds.trouble_codes(
        dtc_records.decode_permanent(payload), ecu=ecu, permanent=True
    ),
    optional=True,
)


def _on_uds(services: tuple[int, ...]) -> tuple[CodeRequest, ...]:
    """Services 03 and 07 are one request there."""
    wanted = []
    if {trouble_codes.CONFIRMED, trouble_codes.PENDING} & set(services):
        wanted.append(_OF_GROUP)
    if trouble_codes.PERMANENT in services:
        wanted.append(_PERMANENT)
    return tuple(wanted)


OBD = Dialect(
    name="OBD (SAE J1979)",
    request=service01.request,
    request_name=service01.request_name,
    decode_supported=service01.decode_supported,
    decode=service01.decode,
    codes=lambda services: tuple(_stored(service) for service in services),
    vin=(
        VinRequest(
            request=vehicle_information.VIN_REQUEST, name="service 09 item 02", decode=vehicle_information.decode_vin
        ),
    ),
    several=True,
)
OBD_ON_UDS = Dialect(
    name="OBDonUDS (SAE J1979-2)",
    request=obd_on_uds.request,
    request_name=obd_on_uds.request_name,
    decode_supported=obd_on_uds.decode_supported,
    decode=obd_on_uds.decode,
    codes=_on_uds,
    vin=tuple(
        VinRequest(
            request=request,
            name=f"service 22 DID {request[1:].hex().upper()}",
            decode=partial(obd_on_uds.decode_vin, request),
        )
        for request in (obd_on_uds.VIN_REQUEST, obd_on_uds.VIN_REQUEST_OF_MAKER)
    ),
    several=False,
)
