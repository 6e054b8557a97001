"""The agent as its service starts it: what it does not carry, and that it ends as it should."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Each of them would take megabytes of a dongle's memory for good.
NOT_ON_THE_DONGLE = {"typer", "rich", "cantools", "numpy", "pint", "obd", "cryptography", "psycopg", "pydantic"}
TEXT = """
device: car-1
vehicle_profile: generic
source: {source}
outbox: {{path: outbox.sqlite}}
drain: 100ms
mqtt: {{host: 127.0.0.1, port: 1}}
"""
TRIP = "time,Vehicle.Speed\n2026-01-31T08:00:00Z,50\n2026-01-31T08:00:01Z,51\n"


def command(folder: Path, source: str) -> list[str]:
    (folder / "agent.yaml").write_text(TEXT.format(source=source), encoding="utf-8")
    return [sys.executable, "-m", "edge_agent", str(folder / "agent.yaml")]


def test_it_carries_nothing_that_only_a_command_line_needs() -> None:
    code = "import sys, edge_agent.start; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(result.stdout.split())
    assert {"edge_agent", "paho", "can"} <= loaded
    assert loaded & NOT_ON_THE_DONGLE == set()


def test_a_recording_is_read_to_its_end_and_kept_without_a_broker(tmp_path: Path) -> None:
    (tmp_path / "trip.csv").write_text(TRIP, encoding="utf-8")
    arguments = command(tmp_path, "{kind: replay_csv, path: trip.csv}")
    result = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "batches stay in the outbox until the next start" in result.stderr
    assert "nothing listens at 127.0.0.1:1" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_when_told_to(tmp_path: Path, number: signal.Signals) -> None:
    arguments = command(tmp_path, "{kind: broadcast, interface: virtual, channel: none, j1939: true}")
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = iter(process.stderr)
        assert any("no connection to the broker" in line for line in lines)
        process.send_signal(number)
        rest = "".join(lines)
        assert process.wait(30) == 0, rest
    assert "Traceback" not in rest


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    arguments = command(tmp_path, "{kind: broadcst}")
    result = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "source.kind" in result.stderr
    assert "did you mean 'broadcast'?" in result.stderr
