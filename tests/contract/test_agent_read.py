"""``wearcast agent read`` where nothing answers: it ends, and says what to look at."""

from pathlib import Path

from typer.testing import CliRunner

from wearcast.cli import app


def test_a_silent_bus_ends_with_what_to_look_at(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(
        "device: car-1\n"
        "vehicle_profile: generic\n"
        "source: {kind: obd_can, interface: virtual, channel: nobody}\n"
        "outbox: {path: outbox.sqlite}\n",
        encoding="utf-8",
    )
    result = CliRunner().invoke(app, ["agent", "read", str(path), "--seconds", "0.1"])
    assert result.exit_code == 0
    assert "Not read: service 01 PID 00: no answer in 400 ms" in result.output
    assert "is the ignition on" in result.output
    assert not (tmp_path / "outbox.sqlite").exists()
