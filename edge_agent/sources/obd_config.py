"""How a car is read over any tester: which parameters and identifiers, how often, and within which limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_agent.errors import ConfigurationError
from edge_agent.obd import trouble_codes
from edge_agent.obd.did import DidDefinition
from edge_agent.obd.pids import PIDS
from edge_agent.tester.base import IsoTpAddress
from edge_agent.tester.limits import SMALLEST_BUS_SHARE, SMALLEST_REQUESTS_PER_S, Limits

# ISO 15765-4: engine 7E0/7E8, seven more ECUs after it; 7DF asks all of them.
DEFAULT_ECUS = tuple(IsoTpAddress(transmit_id=0x7E0 + n, receive_id=0x7E8 + n) for n in range(8))
# With 29-bit identifiers ECU xx is asked at 18DAxxF1 and answers with 18DAF1xx; these are the usual ones.
ECUS_29_BIT = tuple(
    IsoTpAddress(transmit_id=0x18DA00F1 | ecu << 8, receive_id=0x18DAF100 | ecu) for ecu in (0x10, 0x11, 0x18, 0x28)
)


@dataclass(frozen=True, kw_only=True)
class ObdConfig:
    """How a car is read. Periods and times in seconds.

    ``pids``: PID of service 01 -> period; those the car lacks are left out. ``dids``: the maker's own values; a PID
    that gives the same as one of them, or as a PID before it, is not asked: they would take turns with different steps.
    ``dtc_services``: of 0x03, 0x07, 0x0A; ``dtc_period_s`` None reads no codes. ``uds_dtc_ecus``: also asked by 19 02.
    ``limits``: what reading may take of the bus. ``idle_wait_s``: longest time one poll waits for something to become
    due; ``longest_poll_s``: after that one poll begins no further read, the rest is left to the next one.
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
    limits: Limits = field(default_factory=Limits)
    idle_wait_s: float = 0.2
    longest_poll_s: float = 1.0

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
        if self.limits.requests_per_s < SMALLEST_REQUESTS_PER_S or not SMALLEST_BUS_SHARE <= self.limits.bus_share <= 1:
            raise ConfigurationError(
                f"limits: requests_per_s is {SMALLEST_REQUESTS_PER_S:g} or more, bus_share {SMALLEST_BUS_SHARE:g} to 1"
            )
        for name in ("discovery_period_s", "rediscovery_period_s", "dtc_period_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"{name} is {value}; give a time in seconds above 0")

    @property
    def addresses(self) -> tuple[IsoTpAddress, ...]:
        """Every ECU this configuration talks to, each once."""
        of_dids = (IsoTpAddress(transmit_id=d.request_id, receive_id=d.response_id) for d in self.dids)
        return tuple(dict.fromkeys((*self.ecus, *self.uds_dtc_ecus, *of_dids)))
