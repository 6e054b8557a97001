"""What ends a source or keeps it from being built; faults of reading are not among it."""

import pytest

from edge_agent.can_bus import CanBusConfig
from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.sources.obd import DEFAULT_ECUS, ObdConfig, ObdSource
from edge_agent.tester.can import CanTester


def test_a_bus_that_is_gone_is_an_error() -> None:
    bus = CanBusConfig(interface="virtual", channel="errors")
    testers: list[CanTester] = []

    def connect() -> CanTester:
        testers.append(CanTester.open(bus, DEFAULT_ECUS, timeout_s=0.02))
        return testers[-1]

    source = ObdSource(ObdConfig(), connect)
    with pytest.raises(SourceError, match="call open"):
        source.poll()
    source.open()
    assert testers[0]._bus is not None
    testers[0]._bus.shutdown()  # as if the adapter had been pulled out
    with pytest.raises(SourceError, match="is gone"):
        source.poll()
    source.close()


@pytest.mark.parametrize("interface", ["socketcan", "no-such-interface"])
def test_a_bus_that_is_not_there_is_an_error(interface: str) -> None:
    bus = CanBusConfig(interface=interface, channel="nocan7", bitrate=500_000)
    source = ObdSource(ObdConfig(), lambda: CanTester.open(bus, DEFAULT_ECUS))
    with pytest.raises(SourceError, match=f"{interface}:nocan7 cannot be opened"):
        source.open()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pids": {0x02: 1.0}}, "02 gives no signal"),
        ({"pids": {0x0D: 0.0}}, "period of 0D"),
        ({"dtc_services": (0x04,)}, "04 reads no codes"),
    ],
)
def test_configuration_errors(change: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        ObdConfig(**change)  # type: ignore[arg-type]  # wrong on purpose


def test_ecus_are_given_some_time() -> None:
    bus = CanBusConfig(interface="virtual", channel="errors")
    with pytest.raises(ConfigurationError, match="timeout is 0 s"):
        CanTester.open(bus, DEFAULT_ECUS, timeout_s=0)
