"""``wearcast flash``: profiles of cars and dongles, and what is written onto a dongle."""

from pathlib import Path
from typing import Annotated

import typer

from wearcast.commands.common import JsonOption
from wearcast.output import print_json, print_rows

app = typer.Typer(
    no_args_is_help=True,
    help="""What a dongle needs: configuration, profiles, certificate, systemd units.

    [b]bundle[/b] writes all of it for one device into a folder or archive; docs/installers.md says how it gets onto
    the dongle.""",
    short_help="Profiles, and bundles for dongles.",
)


@app.command()
def profiles(as_json: JsonOption = False) -> None:
    """List the vehicle and hardware profiles that ship with this version."""
    from firmware_profiles.loader import list_profiles

    found = list_profiles()
    print_rows(
        [
            {"profile": vehicle.name, "for": vehicle.kind, "title": vehicle.title, "own_values": len(vehicle.dids)}
            for vehicle in found.vehicles
        ]
        + [
            {"profile": hardware.name, "for": "hardware", "title": hardware.title, "own_values": None}
            for hardware in found.hardware
        ],
        as_json=as_json,
    )


@app.command()
def check(
    files: Annotated[list[str], typer.Argument(help="Vehicle profiles: names, or paths of YAML files.")],
) -> None:
    """Check vehicle profiles; an error names file, place and the nearest key."""
    from firmware_profiles.loader import load_vehicle_profile

    for file in files:
        profile = load_vehicle_profile(Path(file) if Path(file).is_file() else file)
        print(f"{file}: good. {profile.title}: {len(profile.poll)} standard values, {len(profile.dids)} of the maker.")


@app.command()
def bundle(
    device: Annotated[str, typer.Argument(help="Device id; it becomes the CN of the certificate.", show_default=False)],
    broker: Annotated[str, typer.Option(help="HOST:PORT of the broker.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder, .tar.gz or .zip to write.", show_default=False)],
    vehicle: Annotated[
        str, typer.Option(help="Vehicle profile; auto: the one that fits the car it is plugged into.")
    ] = "generic",
    hardware: Annotated[str, typer.Option(help="Hardware profile.")] = "pi_zero_2w_mcp2515",
    ca: Annotated[
        Path | None, typer.Option(help="Folder of the certificate authority, made on first use; --no-tls needs none.")
    ] = None,
    tls: Annotated[bool, typer.Option(help="Connect with TLS and a certificate of the device's own.")] = True,
    enrol: Annotated[
        str | None, typer.Option(help="https://HOST:8443 of `wearcast enrolment run`: the dongle makes its own key.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="With --enrol: file of `wearcast enrolment token DEVICE --out`.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write what one dongle needs. Nothing that exists is overwritten; keys are written, never shown.

    With --enrol the bundle holds a one-time token instead of a private key: prefer it. --ca then needs ca.pem alone.
    """
    from firmware_profiles.bundle import BundleRequest, write_bundle
    from firmware_profiles.errors import BundleError

    host, _, port = broker.rpartition(":") if ":" in broker else (broker, "", "8883")
    if not port.isdecimal():
        raise BundleError(f"--broker {broker!r}: give it as HOST:PORT, for example broker.example.org:8883")
    report = write_bundle(
        BundleRequest(
            device_id=device,
            hardware=hardware,
            vehicle=vehicle,
            broker_host=host,
            broker_port=int(port),
            tls=tls,
            out=out,
            ca_dir=ca,
            enrolment_url=enrol,
            token=None if token_file is None else _token(token_file),
        )
    )
    if as_json:
        print_json(
            {
                "out": report.out,
                "device": report.device_id,
                "fingerprint": report.fingerprint,
                "files": [file.path for file in report.files],
                "warnings": report.warnings,
            }
        )
        return
    print_rows(
        [{"file": file.path, "mode": f"{file.mode:04o}", "bytes": len(file.content)} for file in report.files],
        as_json=False,
        title=f"{report.out}: {report.device_id}, {report.vehicle} on {report.hardware}",
    )
    if report.fingerprint:
        print(f"Certificate: {report.fingerprint}")
    for warning in report.warnings:
        print(f"Mind: {warning}")


def _token(file: Path) -> str:
    from firmware_profiles.errors import BundleError

    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{file}: the token cannot be read: {error}") from error
