"""Whatever bytes ECUs answer with, the source neither breaks nor gives a value that cannot be."""

from fractions import Fraction
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.obd.did import DidDefinition, DidSignal
from edge_agent.obd.pids import PIDS
from edge_agent.sources.obd import DEFAULT_ECUS, ObdConfig, ObdSource
from edge_agent.tester.limits import Limits
from edge_agent.tester.testing import Answer, ScriptedTester
from telemetry.catalogue import catalogue
from tests.unit.edge_agent.obd_support import Clock

SOH = "Vehicle.Powertrain.TractionBattery.StateOfHealth"
KONA = DidDefinition(
    did=0x0105,
    request_id=0x7E4,
    response_id=0x7EC,
    period_s=1,
    signals=(DidSignal(did=0x0105, path=SOH, bit_offset=200, bit_length=16, scale=Fraction(1, 10)),),
)


def nonsense(random: Random) -> Answer:
    """Silence, refusals, noise, and answers that begin as they should."""

    def answer(request: bytes) -> bytes | None:
        if request[0] == 0x01 and len(request) == 2 and request[1] % 0x20 == 0 and random.random() < 0.8:
            return bytes((0x41, request[1], 0xFF, 0xFF, 0xFF, 0xFF))  # it says to have everything
        echo = bytes((request[0] + 0x40,)) + request[1 : 1 + random.choice((0, 1, 1, 2, 5))]
        kind = random.randrange(6)
        if kind == 0:
            return None
        if kind == 1:
            return bytes((0x7F, request[0], random.choice((0x11, 0x12, 0x22, 0x31, 0x78))))
        if kind == 2:
            return random.randbytes(random.randrange(1, 12))
        return echo + random.randbytes(random.choice((1, 1, 2, 4, 4, 5, 20, 43)))

    return answer


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_bytes_give_what_cannot_be(seed: int) -> None:
    random, clock = Random(seed), Clock()
    ecus = {"7E8": nonsense(random), "7E9": nonsense(random), "7EC": nonsense(random)}
    config = ObdConfig(
        limits=Limits(requests_per_s=1e6, bus_share=1.0, bit_rate=10**9),
        pids=dict.fromkeys(PIDS, 1.0),
        dids=(KONA,),
        dtc_period_s=1.0,
        uds_dtc_ecus=(DEFAULT_ECUS[0],),
        idle_wait_s=0.0,
        rediscovery_period_s=1.0,
    )
    source = ObdSource(config, lambda: ScriptedTester(ecus), clock=clock)
    source.open()
    for _ in range(2):
        clock.now += 20
        reading = source.poll()
        assert reading is not None
        assert all(catalogue().by_path(path).accepts(value) for path, value in reading.values.items())
        assert all(fault.request and fault.reason for fault in reading.faults)
        assert reading.vin is None
        for code in reading.trouble_codes or ():
            assert code.code[0] in "PCBU"
    source.close()
