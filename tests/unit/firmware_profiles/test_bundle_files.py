"""What a bundle holds for which dongle, in which form it is written, and what is refused."""

import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from firmware_profiles.bundle import BundleReport, BundleRequest, write_bundle
from firmware_profiles.errors import AuthorityError, BundleError, FirmwareProfilesError, ProfileError

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
Make = Callable[[str], BundleRequest]


@pytest.fixture
def request_for(tmp_path: Path) -> Make:
    def make(out: str) -> BundleRequest:
        return BundleRequest(
            device_id="car-7",
            hardware="pi_zero_2w_mcp2515",
            vehicle="generic",
            broker_host="broker.example",
            out=tmp_path / out,
            ca_dir=tmp_path / "ca",
        )

    return make


def write(request: BundleRequest) -> BundleReport:
    return write_bundle(request, clock=lambda: NOW)


def content(report: BundleReport, path: str) -> str:
    return next(file.content.decode() for file in report.files if file.path == path)


def test_a_can_hat_gets_its_overlay_and_listens_first(request_for: Make) -> None:
    report = write(request_for("out"))
    assert content(report, "boot/config.txt").splitlines() == [
        "# wearcast begin",
        "[all]",
        "dtparam=spi=on",
        "dtoverlay=mcp2515-can0,oscillator=12000000,interrupt=25,spimaxfrequency=2000000",
        "# wearcast end",
    ]
    network = content(report, "etc/systemd/network/80-can0.network")
    assert "BitRate=500000" in network
    assert "ListenOnly=yes" in network
    assert "interface=can0" in content(report, "sbin/wearcast-confirm-bus")
    assert "wearcast-confirm-bus" in content(report, "README.txt")


def test_the_agent_plans_with_the_board_and_may_power_it_off(request_for: Make) -> None:
    report = write(request_for("out"))
    document = yaml.safe_load(content(report, "etc/wearcast/agent.yaml"))
    assert document["hardware_profile"] == "hardware/pi_zero_2w_mcp2515.yaml"
    rule = content(report, "etc/polkit-1/rules.d/60-wearcast-power.rules")
    assert 'subject.user === "wearcast"' in rule
    assert "org.freedesktop.login1.power-off" in rule
    assert "60-wearcast-power.rules" in content(report, "install.sh")


def test_a_serial_adapter_gets_its_device_and_no_network(request_for: Make) -> None:
    report = write(replace(request_for("out"), hardware="pi_3_usb_slcan", vehicle="volkswagen_id4"))
    paths = {file.path for file in report.files}
    assert not any(path.startswith(("etc/systemd/network", "boot/", "sbin/")) for path in paths)
    dropin = content(report, "etc/systemd/system/wearcast-agent.service.d/10-hardware.conf")
    assert "DeviceAllow=char-ttyACM rw" in dropin
    assert "SupplementaryGroups=dialout" in dropin
    source = yaml.safe_load(content(report, "etc/wearcast/agent.yaml"))["source"]
    assert source == {
        "kind": "obd_can",
        "interface": "slcan",
        "channel": "/dev/ttyACM0",
        "bitrate": 500000,
        "options": {"tty_baudrate": 115200},
    }
    assert {"etc/wearcast/vehicles/volkswagen_id4.yaml", "etc/wearcast/vehicles/electric_drive.yaml"} <= paths


def test_an_elm327_is_named_by_its_port_and_finds_the_bit_rate_by_itself(request_for: Make) -> None:
    report = write(replace(request_for("out"), hardware="pi_3_usb_elm327"))
    source = yaml.safe_load(content(report, "etc/wearcast/agent.yaml"))["source"]
    assert source == {"kind": "obd_elm327", "port": "/dev/ttyUSB0"}
    dropin = content(report, "etc/systemd/system/wearcast-agent.service.d/10-hardware.conf")
    assert "DeviceAllow=char-ttyUSB rw" in dropin


@pytest.mark.parametrize("vehicle", ["generic", "auto"])
def test_the_bit_rate_of_any_car_is_found_where_the_agent_sets_it(request_for: Make, vehicle: str) -> None:
    report = write(replace(request_for("out"), hardware="pi_3_usb_slcan", vehicle=vehicle))
    assert yaml.safe_load(content(report, "etc/wearcast/agent.yaml"))["source"]["bitrate"] == "auto"


def test_the_key_is_readable_by_its_owner_alone_and_never_shown(request_for: Make, tmp_path: Path) -> None:
    report = write(request_for("out"))
    key = tmp_path / "out/etc/wearcast/tls/device-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert "PRIVATE" in key.read_text(encoding="utf-8")
    assert "PRIVATE" not in repr(report)
    assert not any("ca-key" in file.path for file in report.files)
    assert (tmp_path / "ca" / "ca-key.pem").read_bytes() not in [file.content for file in report.files]


@pytest.mark.parametrize("name", ["car-7.tar.gz", "car-7.tgz", "car-7.zip"])
def test_an_archive_holds_the_same_files_with_their_modes(request_for: Make, tmp_path: Path, name: str) -> None:
    report = write(request_for(name))
    expected = {file.path: (file.mode, file.content) for file in report.files}
    out = tmp_path / name
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    found: dict[str, tuple[int, bytes]] = {}
    if name.endswith(".zip"):
        with zipfile.ZipFile(out) as archive:
            for info in archive.infolist():
                found[info.filename] = (info.external_attr >> 16 & 0o777, archive.read(info))
    else:
        with tarfile.open(out) as tar:
            for member in tar.getmembers():
                file = tar.extractfile(member)
                assert file is not None
                found[member.name] = (member.mode, file.read())
    assert found == expected


def test_the_manifest_lists_every_other_file(request_for: Make) -> None:
    report = write(request_for("out"))
    listed = set(content(report, "SHA256SUMS").splitlines())
    assert listed == {f"{file.sha256}  {file.path}" for file in report.files if file.path != "SHA256SUMS"}


def test_without_tls_there_is_no_certificate_but_a_warning(request_for: Make) -> None:
    report = write(replace(request_for("out"), tls=False, ca_dir=None, broker_port=1883))
    assert report.fingerprint is None
    assert not any("/tls/" in file.path for file in report.files)
    assert "tls" not in yaml.safe_load(content(report, "etc/wearcast/agent.yaml"))["mqtt"]
    assert [warning[:11] for warning in report.warnings] == ["without TLS"]


def test_auto_leaves_the_choice_to_the_agent(request_for: Make) -> None:
    report = write(replace(request_for("out"), vehicle="auto"))
    document = yaml.safe_load(content(report, "etc/wearcast/agent.yaml"))
    assert document["vehicle_profile"] == "auto"
    assert document["source"]["bitrate"] == 500_000
    assert not any("/vehicles/" in file.path for file in report.files)
    assert "Vehicle:  The car it is plugged into, by the profile that fits (auto)" in content(report, "README.txt")
    assert (report.vehicle, report.warnings) == ("auto", ())


def test_a_simulated_car_is_warned_of(request_for: Make) -> None:
    report = write(replace(request_for("out"), vehicle="virtual_petrol"))
    assert report.warnings[0].startswith("virtual_petrol describes simulated ECUs")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"device_id": "car 7"}, BundleError, "use 1 to 63 letters"),
        ({"hardware": "pi_zero_2w_mcp2516"}, ProfileError, "did you mean 'pi_zero_2w_mcp2515'"),
        ({"vehicle": "genric"}, ProfileError, "did you mean 'generic'"),
        ({"broker_host": "mqtt://broker"}, BundleError, "without scheme or port"),
        ({"broker_host": ""}, BundleError, "without scheme or port"),
        ({"broker_port": 0}, BundleError, "give one from 1 to 65535"),
        ({"ca_dir": None}, BundleError, "TLS needs the folder"),
        ({"valid_days": 99999}, AuthorityError, "the authority itself ends"),
        ({"out": Path("/nowhere/at/all")}, BundleError, "there is no such folder"),
        ({"out": Path("bundle.rar")}, BundleError, "ending in .tar.gz or .zip"),
        ({"out": Path("/")}, BundleError, "exists already"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    request_for: Make, tmp_path: Path, change: dict[str, object], error: type[FirmwareProfilesError], message: str
) -> None:
    with pytest.raises(error, match=message):
        write(replace(request_for("out"), **change))  # type: ignore[arg-type]  # one field each, of its own type
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("host", ["broker.example", "10.0.0.7", "fd00::7", "broker_1"])
def test_names_and_addresses_are_taken(request_for: Make, host: str) -> None:
    assert write(replace(request_for("out"), broker_host=host)).files


TOKEN = "t" * 43


def with_token(request: BundleRequest) -> BundleRequest:
    return replace(request, enrolment_url="https://enrol.example:8443", token=TOKEN)


def test_with_enrolment_a_token_takes_the_place_of_the_key(request_for: Make, tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "ca.pem").write_text("CERTIFICATE", encoding="utf-8")  # the authority's key is elsewhere
    report = write(with_token(request_for("out")))
    configured = yaml.safe_load(content(report, "etc/wearcast/agent.yaml"))
    assert configured["enrolment"] == {"url": "https://enrol.example:8443", "token_file": "tls/enrolment-token"}
    assert configured["mqtt"]["tls"] == {"ca": "tls/ca.pem"}
    assert content(report, "etc/wearcast/tls/enrolment-token") == f"{TOKEN}\n"
    assert content(report, "etc/wearcast/tls/ca.pem") == "CERTIFICATE"
    file = tmp_path / "out/etc/wearcast/tls/enrolment-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(file.path.endswith("device-key.pem") for file in report.files)
    assert report.fingerprint is None
    assert TOKEN not in repr(report) + repr(with_token(request_for("out")))
    assert "makes its key itself" in content(report, "README.txt")
    assert not (tmp_path / "ca" / "ca-key.pem").exists()


def test_what_does_not_go_with_enrolment_is_said(request_for: Make) -> None:
    request = with_token(request_for("out"))
    for wrong, said in (
        (replace(request, token=None), "needs both"),
        (replace(request, enrolment_url=None), "needs both"),
        (replace(request, tls=False), "with TLS alone"),
        (replace(request, enrolment_url="http://enrol.example"), "in plain"),
        (replace(request, token=TOKEN[:8]), "holds no token"),
        (request, r"ca\.pem cannot be read"),
    ):
        with pytest.raises(BundleError, match=said) as caught:
            write(wrong)
        assert TOKEN not in str(caught.value)
