"""``wearcast enrolment``: certificates of devices, of brokers and of the backend's services, and their revocation."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wearcast.commands.common import JsonOption, connection, database_url, exit_on_signal
from wearcast.output import print_rows
from wearcast.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from firmware_profiles.authority import Credentials

app = typer.Typer(
    no_args_is_help=True,
    help="""Certificates: who gets one, keeps it, and loses it.

    A device makes its own key and gets its certificate from the service ([b]run[/b]) with a one-time token
    ([b]token[/b]); it renews by itself. [b]revoke[/b] shuts a device out within a minute. Servers and services get
    theirs from the same authority ([b]server[/b], [b]service[/b]).""",
    short_help="Certificates: give, renew, revoke.",
)

# A car that stands for the winter (grace of 180 days) should meet the next authority before this one ends.
_AUTHORITY_ENDS_SOON_DAYS = 240

Device = Annotated[str, typer.Argument(help="Device id.", show_default=False)]
AuthorityFolder = Annotated[Path, typer.Option("--ca", help="Folder of the authority.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Where NAME.pem and NAME-key.pem are written.", show_default=False)]


@app.command()
def run(
    ca: AuthorityFolder,
    name: Annotated[
        list[str],
        typer.Option(help="Host name or address devices reach it by; repeat for several.", show_default=False),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8443,
    days: Annotated[float, typer.Option(help="How long a device's certificate is valid.", min=0.0001, max=398)] = 30,
    grace_days: Annotated[
        float, typer.Option(help="How long after its end it can still be renewed: a car may stand.", min=0)
    ] = 180,
) -> None:
    """Serve enrolment and renewal over HTTPS until stopped, and keep the list of revoked certificates signed.

    Example: wearcast enrolment run --ca /etc/wearcast/authority --name enrol.example.org --host 0.0.0.0
    """
    from firmware_profiles.authority import Authority
    from firmware_profiles.errors import AuthorityError
    from ingest.enrolment.desk import Terms
    from ingest.enrolment.server import EnrolmentConfig, ServerCredentials, serve
    from ingest.errors import EnrolmentError
    from wearcast.authority_signer import AuthoritySigner
    from wearcast.watch.observed import observed

    authority = Authority.open(ca)
    if authority.days_left < _AUTHORITY_ENDS_SOON_DAYS:
        logging.getLogger("wearcast.enrolment").warning(
            "the authority ends in %d days, and everything it gave with it; make the next one: "
            "wearcast enrolment authority --root ROOT --follows %s --out NEXT",
            authority.days_left,
            ca,
        )

    def own(valid_days: int) -> ServerCredentials:
        try:
            given = authority.issue_server_certificate(name, min(valid_days, authority.days_left))
        except AuthorityError as error:
            raise EnrolmentError(str(error)) from error
        return ServerCredentials(certificate_pem=given.certificate_pem, key_pem=given.key_pem)

    settings = load_settings()
    with exit_on_signal(), database_url(settings) as url, observed("enrolment", settings, url):
        serve(
            EnrolmentConfig(
                database_url=url,
                signer=AuthoritySigner(authority),
                credentials=own,
                terms=Terms(lifetime=timedelta(days=days), grace=timedelta(days=grace_days)),
                host=host,
                port=port,
            )
        )


@app.command()
def token(
    device: Device,
    hours: Annotated[float, typer.Option(help="How long it can be used.", min=0.1, max=720)] = 24,
    out: Annotated[Path | None, typer.Option(help="Write it to this file, mode 0600, instead of showing it.")] = None,
) -> None:
    """Make a one-time token for a registered device, in place of any before it; it cannot be had again.

    Example: wearcast enrolment token car-7 --out car-7.token
    """
    from ingest.database import database_time
    from ingest.enrolment.store import new_token
    from wearcast.embedded.paths import write_private

    if out is not None and out.exists():
        raise SettingsError(f"{out} exists already; name another file, or remove it first")
    with connection() as conn:
        made = new_token(conn, device, valid_for=timedelta(hours=hours), now=database_time(conn))
    if out is None:
        print(made)
    else:
        write_private(out, made + "\n")
        print(f"{out}: a token for {device}, good for {hours:g} h and one key")


@app.command()
def revoke(
    device: Device,
    reason: Annotated[str, typer.Option(help="Why, as the record will show.", show_default=False)],
    ca: Annotated[
        Path | None, typer.Option(help="Folder of the authority; without it `enrolment run` signs the list.")
    ] = None,
) -> None:
    """End everything a device was given. It is let in again once it is enrolled with a new token.

    Example: wearcast enrolment revoke car-7 --reason "stolen with the car"
    """
    from firmware_profiles.authority import Authority
    from ingest.database import database_time
    from ingest.enrolment.desk import take_over
    from ingest.enrolment.revocations import sign_revocations
    from ingest.enrolment.store import revoke as end
    from wearcast.authority_signer import AuthoritySigner

    signer = None if ca is None else AuthoritySigner(Authority.open(ca))
    with connection() as conn:
        now = database_time(conn)
        if signer is not None:
            take_over(conn, signer.journal())
        ended = end(conn, device, reason=reason, now=now)
        if signer is not None:
            sign_revocations(conn, signer, now=now)
    print(f"{device} is shut out; {ended} certificate{'s' if ended != 1 else ''} revoked")


@app.command("list")
def list_certificates(
    device: Annotated[str | None, typer.Option(help="Of this device alone.")] = None,
    ending: Annotated[
        float | None, typer.Option(help="Only devices whose newest certificate ends within so many days.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List certificates of devices, newest first. With --ending: who has failed to renew."""
    from ingest.database import database_time
    from ingest.enrolment.store import certificates, ending_within

    with connection() as conn:
        if ending is None:
            found = certificates(conn, device)
        else:
            found = ending_within(conn, timedelta(days=ending), now=database_time(conn))
    print_rows(
        [
            {
                "device": entry.device_id,
                "generation": entry.generation,
                "issued": entry.issued_at,
                "ends": entry.not_after,
                "revoked": entry.revoked_at,
                "reason": entry.revoked_reason,
                "serial": entry.serial,
            }
            for entry in found
            if device is None or entry.device_id == device
        ],
        as_json=as_json,
        empty="no certificates",
    )


@app.command()
def crl(out: Annotated[Path, typer.Option(help="File to write, PEM.", show_default=False)]) -> None:
    """Write the newest signed list of revoked certificates, for a broker that nothing else looks after."""
    from ingest.enrolment.access import revocation_lists
    from ingest.errors import EnrolmentError

    with connection() as conn:
        lists = revocation_lists(conn)
    if not lists:
        raise EnrolmentError("no list was signed yet; wearcast enrolment run signs the first one when it starts")
    beside = out.with_name(out.name + ".unfinished")
    beside.write_text("".join(entry.pem for entry in lists), encoding="ascii")
    beside.replace(out)
    print(f"{out}: valid until {min(entry.next_update for entry in lists):%Y-%m-%d}")


@app.command()
def authority(
    out: Annotated[Path, typer.Option(help="Folder to make.", show_default=False)],
    root: Annotated[Path | None, typer.Option(help="Folder of a root authority: make an issuing one below it.")] = None,
    follows: Annotated[
        Path | None, typer.Option(help="Folder of the issuing authority before it: what that one gave can be renewed.")
    ] = None,
) -> None:
    """Make an authority: a root, or below a root one that issues, so that the root's key can stay offline.

    Example: wearcast enrolment authority --root /media/offline/root --out issuing
    """
    from firmware_profiles.authority import Authority
    from firmware_profiles.errors import AuthorityError

    if out.exists() and any(out.iterdir()):
        raise AuthorityError(f"{out} is not empty; name another folder")
    if root is not None:
        Authority.open(root).issue_authority(out, follows=follows)
    elif follows is None:
        Authority.open_or_create(out)
    else:
        raise AuthorityError("--follows needs --root: an issuing authority comes in the place of an issuing one")
    print(f"{out}: ca.pem is for brokers and devices; ca-key.pem is for nobody else")


@app.command()
def trust(
    ca: AuthorityFolder,
    other: Annotated[
        Path | None,
        typer.Argument(metavar="[ROOT]", help="ca.pem of a root that devices are to trust too.", show_default=False),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the root that devices trust by now: its key vouches for the other. Not where --ca is it.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write all that is trusted into this file, for brokers.", show_default=False)
    ] = None,
) -> None:
    """Have devices trust a second root, from their next renewal on: the step before it takes the first one's place.

    Example: wearcast enrolment trust root-next/ca.pem --ca issuing --root /media/offline/root --out ca.pem
    """
    from firmware_profiles.authority import Authority
    from firmware_profiles.certificates import fingerprint
    from firmware_profiles.errors import AuthorityError
    from firmware_profiles.roots import read_root

    authority = Authority.open(ca)
    if other is None and out is None:
        raise AuthorityError("name the ca.pem of a root to add, or --out for what is trusted now")
    if other is not None:
        added = read_root(other)
        authority.trust(added, by=authority if root is None else Authority.open(root))
        print(f"{other}: trusted beside {ca}; devices learn it as they renew ({fingerprint(added)})")
    if out is not None:
        try:
            out.write_bytes(authority.trusted_pem)
        except OSError as error:
            raise AuthorityError(f"{out} cannot be written: {error.strerror}") from error
        print(f"{out}: all that is trusted now")


@app.command()
def server(
    names: Annotated[list[str], typer.Argument(help="Host names and addresses it is reached by.", show_default=False)],
    ca: AuthorityFolder,
    out: Out,
    days: Annotated[int, typer.Option(help="How long it is valid.", min=1, max=398)] = 365,
    node: Annotated[
        bool, typer.Option("--node", help="Of a NATS cluster: it shows the certificate to the other nodes too.")
    ] = False,
) -> None:
    """Certificate and key for a server: broker, database, portal.

    Example: wearcast enrolment server broker.example.org 10.0.0.1 --ca ~/wearcast-ca --out broker
    """
    from firmware_profiles.authority import Authority

    authority = Authority.open(ca)
    issue = authority.issue_node_certificate if node else authority.issue_server_certificate
    _write(out, names[0], issue(names, days))


@app.command()
def service(
    name: Annotated[str, typer.Argument(help="Of the part of the backend, for example ingest.", show_default=False)],
    ca: AuthorityFolder,
    out: Out,
    days: Annotated[int, typer.Option(help="How long it is valid.", min=1, max=398)] = 365,
) -> None:
    """Certificate and key by which a part of the backend signs in at broker and database, as service.NAME.

    Example: wearcast enrolment service ingest --ca ~/wearcast-ca --out ingest
    """
    from firmware_profiles.authority import Authority

    _write(out, name, Authority.open(ca).issue_service_certificate(name, days))


def _write(folder: Path, name: str, given: "Credentials") -> None:
    from firmware_profiles.authority import write_secret
    from firmware_profiles.errors import AuthorityError

    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key.unlink(missing_ok=True)
        write_secret(key, given.key_pem)
        certificate.write_bytes(given.certificate_pem)
    except OSError as error:
        raise AuthorityError(f"{folder}: cannot be written: {error.strerror}") from error
    print(f"{certificate}, {key}: {given.fingerprint}")
