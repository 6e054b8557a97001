"""Of several ECUs that give one value the same one counts from read to read."""

from edge_agent.obd import service01
from edge_agent.sources.parameters import Parameters, Several
from edge_agent.tester.testing import ScriptedTester

ODOMETER = "Vehicle.TraveledDistance"
_HAS_ODOMETER = {
    "00": 1,
    "20": 1,
    "40": 1,
    "60": 1,
    "80": 1,
    "A0": 0x04000000,
}  # each bitmap says that the next is there


class Cluster:
    """An ECU with PID A6: hundreds of metres."""

    def __init__(self, hectometres: int) -> None:
        self.hectometres = hectometres
        self.silent = False

    def __call__(self, request: bytes) -> bytes | None:
        if request == b"\x01\xa6":
            return None if self.silent else b"\x41\xa6" + self.hectometres.to_bytes(4)
        if request[0] == 1 and f"{request[1]:02X}" in _HAS_ODOMETER:
            return b"\x41" + request[1:] + _HAS_ODOMETER[f"{request[1]:02X}"].to_bytes(4)
        return None


def test_another_ecus_odometer_does_not_stand_in_for_a_lost_answer() -> None:
    engine, cluster = Cluster(1000), Cluster(1040)
    parameters = Parameters(ScriptedTester({"7E8": engine, "7E9": cluster}), Several())
    parameters.discover()
    assert parameters.ecus[0xA6] == ("7E8", "7E9")

    def read() -> float | None:
        return parameters._one(0xA6).values.get(ODOMETER)

    assert read() == 100_000
    engine.silent = True
    assert [read() for _ in range(4)] == [None] * 4
    assert read() == 104_000, "it is gone for good: the other one's is better than none"
    engine.silent = False
    assert read() == 104_000, "and stays"
    assert parameters._one(0xA6).faults == ()


def test_who_answers_first_counts_even_if_another_comes_first_in_order() -> None:
    engine, cluster = Cluster(1000), Cluster(1040)
    engine.silent = True
    parameters = Parameters(ScriptedTester({"7E8": engine, "7E9": cluster}), Several())
    parameters.discover()
    first = parameters._one(0xA6)
    assert first.values == {ODOMETER: 104_000}
    assert [fault.request for fault in first.faults] == [f"{service01.request_name(0xA6)} at 7E8"]
    engine.silent = False
    assert parameters._one(0xA6).values == {ODOMETER: 104_000}
