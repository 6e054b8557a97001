"""All ECUs of a virtual car as they are reached: a request under an identifier in, replies out. No bus and no clock.

What stands before it puts the replies on the wire: a CAN bus (:mod:`edge_agent.virtual_car.garage`), or a virtual
adapter on a serial line.
"""

from collections.abc import Mapping

from edge_agent.tester.base import IsoTpAddress
from edge_agent.virtual_car.disturb import Disturbances, Reply
from edge_agent.virtual_car.ecu import Ecu, ecus_of
from edge_agent.virtual_car.live import LiveCar

FUNCTIONAL_OF_BITS: Mapping[int, int] = {11: 0x7DF, 29: 0x18DB33F1}  # ISO 15765-4


class Responder:
    """Answers for one car, or what its disturbances make of the answers."""

    def __init__(self, car: LiveCar, disturbances: Disturbances | None = None) -> None:
        self.disturbances = disturbances if disturbances is not None else car.disturbances
        self.functional_id = FUNCTIONAL_OF_BITS[car.config.identifier_bits]
        self._ecus: dict[int, Ecu] = {ecu.role.address.receive_id: ecu for ecu in ecus_of(car)}

    @property
    def addresses(self) -> tuple[IsoTpAddress, ...]:
        """Addresses of the ECUs as they see them."""
        return tuple(ecu.role.address for ecu in self._ecus.values())

    def asked(self, identifier: int, request: bytes) -> tuple[Reply, ...]:
        """Replies to a request sent with that identifier; none to one that is nobody's."""
        if identifier == self.functional_id:
            answers = [(ecu, ecu.answer(request, functional=True)) for ecu in self._ecus.values()]
        elif identifier in self._ecus:
            answers = [(self._ecus[identifier], self._ecus[identifier].answer(request))]
        else:
            return ()
        return tuple(
            reply
            for ecu, payload in answers
            if payload is not None
            for reply in self.disturbances.disturbed(
                request, Reply(identifier=ecu.role.address.transmit_id, payload=payload)
            )
        )
