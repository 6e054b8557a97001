"""What is flashed onto one dongle: configuration, profiles, certificate, unit, installer. See :func:`write_bundle`.

The files of a bundle lie as they will on the dongle (``etc/…``), so that its installer has little to do. Making the
content is pure; writing it is one step at the end, and nothing that exists is ever overwritten.
"""

import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from string import Template

import yaml

from firmware_profiles.authority import CERTIFICATE_FILE, Authority, Credentials, write_secret
from firmware_profiles.errors import BundleError
from firmware_profiles.loader import load_hardware_profile, load_vehicle_profile
from firmware_profiles.profile import AUTOMATIC, HardwareProfile, Interface, VehicleProfile
from telemetry.topics import require_device_id

MANIFEST = "SHA256SUMS"
AGENT_UNIT = "wearcast-agent.service"
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")  # a name, or an address of version 4 or 6
_TOKEN_FILE = "tls/enrolment-token"  # noqa: S105 - a path
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,100}")
_PUBLIC, _PROGRAM, _SECRET = 0o644, 0o755, 0o600


@dataclass(frozen=True, kw_only=True)
class BundleRequest:
    """What to make.

    ``hardware`` and ``vehicle`` are names of profiles that ship, or paths; ``vehicle`` may be ``auto``: the agent finds
    out which profile the car has, and installs none. ``out`` is a folder that does not exist
    yet, or a file ending in ``.tar.gz``, ``.tgz`` or ``.zip``. With ``tls`` the device gets a certificate of the
    authority in ``ca_dir``, valid for ``valid_days`` (None: three years at most); with ``enrolment_url`` it gets it
    there, for a key of its own: then the bundle holds the ``token`` for that, and of the authority only ``ca.pem`` is
    needed.
    """

    device_id: str
    hardware: str | Path
    vehicle: str | Path
    broker_host: str
    broker_port: int = 8883
    tls: bool = True
    out: Path
    ca_dir: Path | None = None
    valid_days: int | None = None
    enrolment_url: str | None = None
    token: str | None = field(default=None, repr=False)

    @property
    def automatic(self) -> bool:
        """Whether the agent chooses the vehicle profile itself."""
        return self.vehicle == AUTOMATIC


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """One file: path within the bundle, mode, and content, which is left out of ``repr`` as it may be a key."""

    path: str
    mode: int
    content: bytes

    def __repr__(self) -> str:
        return f"BundleFile({self.path!r}, {self.mode:04o}, {len(self.content)} bytes)"

    @property
    def sha256(self) -> str:
        """Checksum in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class BundleReport:
    """What was written. ``fingerprint`` is that of the device's certificate, ``warnings`` are for the installer."""

    out: Path
    device_id: str
    vehicle: str
    hardware: str
    files: tuple[BundleFile, ...]
    fingerprint: str | None
    warnings: tuple[str, ...]


def write_bundle(request: BundleRequest, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> BundleReport:
    """Make and write a bundle; BundleError, ProfileError or AuthorityError say what to change."""
    _check(request)
    vehicle = _any_car() if request.automatic else load_vehicle_profile(request.vehicle)
    hardware = load_hardware_profile(request.hardware)
    credentials: Credentials | None = None
    authority_pem = b""
    if request.tls:
        if request.ca_dir is None:
            raise BundleError("TLS needs the folder of the certificate authority (--ca); it is made on first use")
        if request.enrolment_url is not None:
            authority_pem = _trusted(request.ca_dir)
        else:
            authority = Authority.open_or_create(request.ca_dir, clock=clock)
            credentials = authority.issue_device_certificate(request.device_id, request.valid_days)
            authority_pem = authority.certificate_pem
    files = bundle_files(request, vehicle, hardware, credentials, authority_pem)
    _write(files, request.out, clock())
    return BundleReport(
        out=request.out,
        device_id=request.device_id,
        vehicle=AUTOMATIC if request.automatic else vehicle.name,
        hardware=hardware.name,
        files=files,
        fingerprint=None if credentials is None else credentials.fingerprint,
        warnings=_warnings(request, vehicle),
    )


def bundle_files(
    request: BundleRequest,
    vehicle: VehicleProfile,
    hardware: HardwareProfile,
    credentials: Credentials | None,
    authority_pem: bytes,
) -> tuple[BundleFile, ...]:
    """Everything that goes into the bundle, its manifest last."""
    files = [
        _public("etc/wearcast/agent.yaml", agent_yaml(request, vehicle, hardware)),
        *(_public(f"etc/wearcast/vehicles/{file.name}", file.read_text("utf-8")) for file in vehicle.files),
        *(_public(f"etc/wearcast/hardware/{file.name}", file.read_text("utf-8")) for file in hardware.files),
        _public(f"etc/systemd/system/{AGENT_UNIT}", agent_unit()),
        BundleFile(path="install.sh", mode=_PROGRAM, content=_template("install.sh").encode()),
        _public("README.txt", _readme(request, vehicle, hardware)),
    ]
    if authority_pem:
        files.append(BundleFile(path="etc/wearcast/tls/ca.pem", mode=_PUBLIC, content=authority_pem))
    if request.token is not None:
        token = request.token.encode("ascii") + b"\n"
        files.append(BundleFile(path=f"etc/wearcast/{_TOKEN_FILE}", mode=_SECRET, content=token))
    if credentials is not None:
        files += [
            BundleFile(path="etc/wearcast/tls/device.pem", mode=_PUBLIC, content=credentials.certificate_pem),
            BundleFile(path="etc/wearcast/tls/device-key.pem", mode=_SECRET, content=credentials.key_pem),
        ]
    if hardware.device_allow or hardware.groups:
        files.append(_public(f"etc/systemd/system/{AGENT_UNIT}.d/10-hardware.conf", _devices(hardware)))
    if hardware.interface.kind == "socketcan":
        channel = hardware.interface.channel
        confirm = Template(_template("wearcast-confirm-bus")).substitute(interface=channel)
        files += [
            _public(f"etc/systemd/network/80-{channel}.network", _network(vehicle, hardware)),
            BundleFile(path="sbin/wearcast-confirm-bus", mode=_PROGRAM, content=confirm.encode()),
        ]
    if hardware.power.off_command[:1] == ("systemctl",):
        files.append(_public("etc/polkit-1/rules.d/60-wearcast-power.rules", _template("wearcast-power.rules")))
    if hardware.config_txt:
        lines = ["# wearcast begin", "[all]", *hardware.config_txt, "# wearcast end"]
        files.append(_public("boot/config.txt", "\n".join(lines) + "\n"))
    files.sort(key=lambda file: file.path)
    sums = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return (*files, _public(MANIFEST, sums))


def agent_yaml(request: BundleRequest, vehicle: VehicleProfile, hardware: HardwareProfile) -> str:
    """The agent's configuration; paths in it are relative to its folder."""
    of_any_car = request.automatic or vehicle.kind == "generic"
    mqtt: dict[str, object] = {"host": request.broker_host, "port": request.broker_port}
    enrolment: dict[str, object] = {}
    if request.enrolment_url is not None:
        mqtt["tls"] = {"ca": "tls/ca.pem"}
        enrolment = {"enrolment": {"url": request.enrolment_url, "token_file": _TOKEN_FILE}}
    elif request.tls:
        mqtt["tls"] = {"ca": "tls/ca.pem", "certificate": "tls/device.pem", "key": "tls/device-key.pem"}
    document = {
        "device": request.device_id,
        "vehicle_profile": AUTOMATIC if request.automatic else f"vehicles/{vehicle.files[0].name}",
        "hardware_profile": f"hardware/{hardware.files[0].name}",
        "source": _source(hardware.interface, vehicle.can.bit_rate, any_car=of_any_car),
        "mqtt": mqtt,
        **enrolment,
        "outbox": {"path": "/var/lib/wearcast/outbox.sqlite"},
    }
    return f"# {vehicle.title}; {hardware.title}\n" + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _source(interface: Interface, bit_rate: int, *, any_car: bool) -> dict[str, object]:
    """How the agent reaches the car."""
    if interface.kind == "elm327":  # it finds the car's bit rate by itself
        baud = {} if interface.serial_baud is None else {"baud": interface.serial_baud}
        return {"kind": "obd_elm327", "port": interface.channel, **baud}
    source: dict[str, object] = {"kind": "obd_can", "interface": interface.kind, "channel": interface.channel}
    # the agent finds it out, except where the system sets the interface up
    source["bitrate"] = "auto" if any_car and interface.kind != "socketcan" else bit_rate
    if interface.serial_baud is not None:
        source["options"] = {"tty_baudrate": interface.serial_baud}  # python-can's name for it
    return source


def _any_car() -> VehicleProfile:
    """The generic profile's bus under a title of its own; its files need not lie on the dongle."""
    title = "The car it is plugged into, by the profile that fits"
    return replace(load_vehicle_profile("generic"), title=title, notes="", files=())


def agent_unit() -> str:
    """The agent's unit: from ``systemd/`` beside the packages, or from where the wheel put it."""
    for place in (Path(__file__).parents[1] / "systemd", Path(__file__).parent / "units"):
        if (place / AGENT_UNIT).is_file():
            return (place / AGENT_UNIT).read_text(encoding="utf-8")
    raise BundleError(f"{AGENT_UNIT} is not part of this installation; install Wearcast again")


def _check(request: BundleRequest) -> None:
    try:
        require_device_id(request.device_id)
    except ValueError as error:
        raise BundleError(str(error)) from error
    if _HOST.fullmatch(request.broker_host) is None:
        raise BundleError(
            f"broker host {request.broker_host!r}: give a host name or address alone, without scheme or port"
        )
    _check_enrolment(request)
    if not 1 <= request.broker_port <= 65535:
        raise BundleError(f"broker port {request.broker_port}: give one from 1 to 65535; 8883 is usual with TLS")
    if request.out.exists():
        raise BundleError(f"{request.out} exists already; name another place, or remove it first")
    if request.out.suffix and _archive_kind(request.out) is None:
        raise BundleError(f"{request.out.name}: name a folder, or a file ending in .tar.gz or .zip")
    if not request.out.absolute().parent.is_dir():
        raise BundleError(f"{request.out.parent}: there is no such folder; make it first")


def _check_enrolment(request: BundleRequest) -> None:
    if (request.enrolment_url is None) != (request.token is None):
        raise BundleError("enrolment needs both: the service (--enrol) and a token for this device (--token-file)")
    if request.enrolment_url is None or request.token is None:
        return
    if not request.tls:
        raise BundleError("a certificate is of use with TLS alone; leave out --no-tls, or --enrol")
    if not request.enrolment_url.startswith("https://"):
        raise BundleError("--enrol: give it as https://host:8443; a token must not go over the net in plain")
    if _TOKEN.fullmatch(request.token) is None:
        raise BundleError("the token file holds no token; make one: wearcast enrolment token DEVICE --out FILE")


def _trusted(folder: Path) -> bytes:
    """What the device trusts. The key of the authority is not needed for it, and need not be there."""
    try:
        return (folder / CERTIFICATE_FILE).read_bytes()
    except OSError as error:
        raise BundleError(f"{folder / CERTIFICATE_FILE} cannot be read: {error.strerror}; copy it there") from error


def _warnings(request: BundleRequest, vehicle: VehicleProfile) -> tuple[str, ...]:
    found = []
    if vehicle.simulated:
        found.append(f"{vehicle.name} describes simulated ECUs; no real car answers what it asks beyond standard OBD")
    if not request.tls:
        found.append("without TLS anybody on the way can read and write as this device; for a closed network only")
    return tuple(found)


def _public(path: str, text: str) -> BundleFile:
    return BundleFile(path=path, mode=_PUBLIC, content=text.encode())


def _template(name: str) -> str:
    return resources.files("firmware_profiles").joinpath("templates", name).read_text(encoding="utf-8")


def _network(vehicle: VehicleProfile, hardware: HardwareProfile) -> str:
    return f"""\
# The car's bus. It only listens until wearcast-confirm-bus has found that the bit rate is right.
[Match]
Name={hardware.interface.channel}

[Link]
RequiredForOnline=no

[CAN]
BitRate={vehicle.can.bit_rate}
RestartSec=100ms
ListenOnly=yes
"""


def _devices(hardware: HardwareProfile) -> str:
    lines = [f"# {hardware.title}", "[Service]"]
    if hardware.device_allow:
        lines += ["PrivateDevices=no", *(f"DeviceAllow={device}" for device in hardware.device_allow)]
    if hardware.groups:
        # Groups beyond the user's own are not mapped in a user namespace.
        lines += [f"SupplementaryGroups={' '.join(hardware.groups)}", "PrivateUsers=no"]
    return "\n".join(lines) + "\n"


def _readme(request: BundleRequest, vehicle: VehicleProfile, hardware: HardwareProfile) -> str:
    confirm = ""
    if hardware.interface.kind == "socketcan":
        confirm = (
            "   The bus is only listened to at first. With the ignition on, run:  sudo wearcast-confirm-bus\n"
            "   It lets the agent ask the car once it has heard the bus without errors."
        )
    notes = [
        f"\n{title}:\n{text}" for title, text in (("Vehicle", vehicle.notes), ("Hardware", hardware.notes)) if text
    ]
    return Template(_template("README.txt")).substitute(
        device=request.device_id,
        vehicle=AUTOMATIC if request.automatic else vehicle.name,
        vehicle_title=vehicle.title,
        hardware=hardware.name,
        hardware_title=hardware.title,
        broker=f"{request.broker_host}:{request.broker_port}{' with TLS' if request.tls else ''}",
        secret=_secret(request),
        confirm=confirm,
        notes="\n".join(notes),
    )


def _secret(request: BundleRequest) -> str:
    if request.token is not None:
        return " and holds a token that is good for one device and ends soon; the dongle makes its key itself"
    return " and holds its private key: delete it once it is installed" if request.tls else ""


def _archive_kind(out: Path) -> str | None:
    if out.name.endswith((".tar.gz", ".tgz")):
        return "tar"
    return "zip" if out.suffix == ".zip" else None


def _write(files: Sequence[BundleFile], out: Path, now: datetime) -> None:
    kind = _archive_kind(out)
    try:
        if kind is None:
            _write_folder(files, out)
        else:
            # The archive holds a private key: nobody else may read it either.
            write_secret(out, _tar(files, now) if kind == "tar" else _zip(files, now))
    except OSError as error:
        raise BundleError(f"{out}: cannot be written: {error.strerror}") from error


def _write_folder(files: Sequence[BundleFile], out: Path) -> None:
    out.mkdir(mode=0o700)
    for file in files:
        path = out / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_secret(path, file.content)
        path.chmod(file.mode)


def _tar(files: Sequence[BundleFile], now: datetime) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path)
            entry.size, entry.mode, entry.mtime = len(file.content), file.mode, int(now.timestamp())
            archive.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


def _zip(files: Sequence[BundleFile], now: datetime) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.path, now.timetuple()[:6])
            entry.external_attr = (0o100000 | file.mode) << 16
            archive.writestr(entry, file.content)
    return buffer.getvalue()
