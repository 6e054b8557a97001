"""A bundle is what the dongle takes: its agent reads the configuration, systemd the units, a shell the installer."""

import os
import shutil
import ssl
import subprocess
import tomllib
from pathlib import Path

import pytest

from edge_agent.build import build_estimators, build_profile, build_source
from edge_agent.config import load_config
from edge_agent.sources.obd import ObdSource
from firmware_profiles.bundle import AGENT_UNIT, BundleRequest, agent_unit, write_bundle
from tests.contract.shipped import PROFILES


@pytest.fixture(scope="module")
def ca_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ca")


def bundle(tmp_path: Path, ca_dir: Path, *, hardware: str, vehicle: str) -> Path:
    out = tmp_path / "bundle"
    write_bundle(
        BundleRequest(
            device_id="car-7",
            hardware=hardware,
            vehicle=vehicle,
            broker_host="broker.example",
            out=out,
            ca_dir=ca_dir,
        )
    )
    return out


@pytest.mark.parametrize("hardware", [profile.name for profile in PROFILES.hardware])
@pytest.mark.parametrize("vehicle", [profile.name for profile in PROFILES.vehicles])
def test_the_agent_takes_the_configuration(tmp_path: Path, ca_dir: Path, hardware: str, vehicle: str) -> None:
    out = bundle(tmp_path, ca_dir, hardware=hardware, vehicle=vehicle)
    config = load_config(out / "etc/wearcast/agent.yaml", environment={})
    profile = build_profile(config)
    assert (config.device, config.mqtt.host, config.mqtt.port) == ("car-7", "broker.example", 8883)
    assert profile is not None
    assert profile.name == vehicle
    assert all(file.is_relative_to(out) for file in profile.files)
    assert isinstance(build_source(config, profile), ObdSource)
    assert build_estimators(config, profile)


def test_the_certificate_opens_tls(tmp_path: Path, ca_dir: Path) -> None:
    out = bundle(tmp_path, ca_dir, hardware="pi_zero_2w_mcp2515", vehicle="generic")
    tls = load_config(out / "etc/wearcast/agent.yaml", environment={}).mqtt.tls
    assert tls is not None
    assert tls.certificate is not None
    context = ssl.create_default_context(cafile=tls.ca)
    context.load_cert_chain(tls.certificate, tls.key)


@pytest.mark.parametrize("hardware", [profile.name for profile in PROFILES.hardware])
def test_checksums_and_scripts_hold(tmp_path: Path, ca_dir: Path, hardware: str) -> None:
    out = bundle(tmp_path, ca_dir, hardware=hardware, vehicle="generic")
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=out, check=True, timeout=30)
    scripts = [out / "install.sh", *(out / "sbin").glob("*")]
    for script in scripts:
        subprocess.run(["sh", "-n", str(script)], check=True, timeout=30)
        assert script.stat().st_mode & 0o777 == 0o755


def test_an_installed_wheel_brings_the_unit_along() -> None:
    """The unit lies in ``systemd/``, outside the packages: the wheel must be told to carry it."""
    root = Path(__file__).parents[2]
    wheel = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    carried = wheel["wheel"]["force-include"]
    assert carried == {f"systemd/{AGENT_UNIT}": f"firmware_profiles/units/{AGENT_UNIT}"}
    assert agent_unit() == (root / "systemd" / AGENT_UNIT).read_text(encoding="utf-8")


def test_the_installers_page_names_every_file_of_a_bundle(tmp_path: Path, ca_dir: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "installers.md").read_text(encoding="utf-8")
    for hardware in PROFILES.hardware:
        folder = tmp_path / hardware.name
        folder.mkdir()
        out = bundle(folder, ca_dir, hardware=hardware.name, vehicle="generic")
        for file in out.rglob("*"):
            names = {str(file.relative_to(out)), *(f"{parent}/" for parent in file.relative_to(out).parents)}
            assert file.is_dir() or any(f"`{name}`" in page for name in names), file


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and os.environ.get("CI") != "true",
    reason="systemd-analyze is not here (Debian package systemd)",
)
@pytest.mark.parametrize("hardware", [profile.name for profile in PROFILES.hardware])
def test_the_unit_stays_hardened_with_its_drop_in(tmp_path: Path, ca_dir: Path, hardware: str) -> None:
    units = bundle(tmp_path, ca_dir, hardware=hardware, vehicle="generic") / "etc/systemd/system"
    unit = units / AGENT_UNIT
    unit.write_text(unit.read_text("utf-8").replace("/opt/wearcast/bin/python", "/bin/true"), encoding="utf-8")
    for arguments in (["verify", "--man=no"], ["security", "--offline=yes", "--threshold=20", "--no-pager"]):
        result = subprocess.run(
            ["systemd-analyze", *arguments, str(unit)], capture_output=True, text=True, check=False, timeout=60
        )
        assert (result.returncode, result.stderr) == (0, "")
