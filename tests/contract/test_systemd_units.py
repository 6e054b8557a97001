"""The units are well-formed and hardened, as systemd itself judges them, and call commands that exist."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

FOLDER = Path(__file__).parents[2] / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")
PROGRAM = "/opt/wearcast/bin/wearcast"
AGENT = "/opt/wearcast/bin/python -m edge_agent"
HIGHEST_EXPOSURE = 20  # of 100; a bare unit has 96

# With CI set the tool belongs to the machine: its absence is then a failure, not a reason to skip.
needs_systemd = pytest.mark.skipif(
    ANALYZE is None and os.environ.get("CI") != "true", reason="systemd-analyze is not here (Debian package systemd)"
)
each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ANALYZE or "systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def section(unit: Path, name: str) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    current = ""
    for line in unit.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif current == name and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def test_there_is_a_unit_for_each_process() -> None:
    assert [unit.stem for unit in UNITS] == [
        "wearcast-agent",
        "wearcast-broker",
        "wearcast-delivery",
        "wearcast-enrolment",
        "wearcast-ingest",
        "wearcast-maintenance",
        "wearcast-portal",
        "wearcast-rules",
        "wearcast-watch",
    ]


@needs_systemd
@each_unit
def test_systemd_finds_no_fault(unit: Path, tmp_path: Path) -> None:
    """The program is not installed where tests run: an existing one takes its place, the rest is verified as it is."""
    copy = tmp_path / unit.name
    copy.write_text(
        unit.read_text(encoding="utf-8").replace(PROGRAM, "/bin/true").replace(AGENT, "/bin/true"), encoding="utf-8"
    )
    result = analyze("verify", "--man=no", str(copy))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_watch_sees_a_broker_that_gave_up_root_s_rights() -> None:
    assert section(FOLDER / "wearcast-broker.service", "Service")["ProtectProc"] == ["default"]


@needs_systemd
def test_systemd_would_find_one(tmp_path: Path) -> None:
    copy = tmp_path / "wearcast-broken.service"
    copy.write_text("[Service]\nExecStart=/bin/true\nProtectSystm=strict\n", encoding="utf-8")
    assert "ProtectSystm" in analyze("verify", "--man=no", str(copy)).stderr


@needs_systemd
@each_unit
def test_little_is_exposed(unit: Path) -> None:
    result = analyze("security", "--offline=yes", f"--threshold={HIGHEST_EXPOSURE}", "--no-pager", str(unit))
    assert result.returncode == 0, result.stdout[-300:]


@each_unit
def test_it_is_started_again_and_knows_its_program(unit: Path) -> None:
    service = section(unit, "Service")
    assert service["Restart"] == ["always"]
    assert section(unit, "Unit")["StartLimitIntervalSec"] == ["0"]
    assert service["ExecStart"][0].startswith((PROGRAM + " ", AGENT + " "))
    assert all("/opt/wearcast" in paths.split() for paths in service["ExecPaths"])


@each_unit
def test_metrics_and_health_may_listen(unit: Path) -> None:
    """Several processes of a machine take the first free port from WEARCAST_WATCH_LISTEN on."""
    service = section(unit, "Service")
    if "SocketBindDeny" in service:
        assert "tcp:9464-9479" in service["SocketBindAllow"]


def test_all_that_seals_or_opens_personal_data_uses_one_key_ring() -> None:
    """The migration seals, too: with a ring of its own, nobody else could open what it sealed."""
    rings = {
        unit.stem: setting
        for unit in UNITS
        for line in section(unit, "Service")["Environment"]
        for setting in line.split()
        if setting.startswith("WEARCAST_PERSONAL_KEY_FILE=")
    }
    assert set(rings) == {"wearcast-delivery", "wearcast-ingest", "wearcast-portal", "wearcast-rules"}
    assert len(set(rings.values())) == 1
    migrating = {
        unit.stem
        for unit in UNITS
        if any("migrate" in line for line in section(unit, "Service").get("ExecStartPre", []))
    }
    assert migrating <= set(rings)


def test_the_agent_reaches_the_bus_and_feeds_the_watchdog() -> None:
    service = section(FOLDER / "wearcast-agent.service", "Service")
    assert service["Type"] == ["notify"]
    assert service["WatchdogSec"] == ["60"]
    assert set(service["RestrictAddressFamilies"][0].split()) == {"AF_CAN", "AF_INET", "AF_INET6", "AF_UNIX"}


@each_unit
def test_the_command_exists(unit: Path) -> None:
    """Every ``ExecStart`` and ``ExecStartPre`` is parsed by its group; ``--help`` keeps it from running."""
    service = section(unit, "Service")
    for line in (*service["ExecStart"], *service.get("ExecStartPre", [])):
        if line.startswith(AGENT):
            continue
        group, *arguments = line.removeprefix(PROGRAM).split()
        app = importlib.import_module(f"wearcast.commands.{group}").app
        result = CliRunner().invoke(app, [*arguments, "--help"])
        assert result.exit_code == 0, f"{line}: {result.output}"


def test_the_agent_is_started_by_what_the_unit_names(tmp_path: Path) -> None:
    """It is the module itself that reads the configuration, so that an unreadable one is its error and not Python's."""
    (line,) = section(FOLDER / "wearcast-agent.service", "Service")["ExecStart"]
    _, *arguments = line.split()
    arguments[-1] = str(tmp_path / "agent.yaml")
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1
    assert result.stderr.startswith(f"wearcast: {tmp_path}/agent.yaml: cannot be read")
    unread = subprocess.run([sys.executable, *arguments[:-1]], capture_output=True, text=True, check=False, timeout=60)
    assert unread.returncode == 2
    assert "usage: python -m edge_agent" in unread.stderr
