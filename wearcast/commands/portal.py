"""``wearcast portal``: the web pages."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from wearcast.commands.common import connection, database_url, exit_on_signal
from wearcast.settings import SettingsError, load_settings
from wearcast.transport import is_local

app = typer.Typer(
    no_args_is_help=True,
    help="""Web pages for owners, workshops and engineers.

    Nobody sees what is not theirs: owners and workshops come in by links from their messages, or by one from
    [b]link[/b].""",
    short_help="The web pages, and links to sign in.",
)


@app.command()
def run(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
    certificate: Annotated[Path | None, typer.Option(help="Serve TLS with this certificate, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy with TLS stands before it, on a way that is protected.")
    ] = False,
) -> None:
    """Serve the portal until it is stopped. Beyond this machine it needs TLS: its own, or a proxy's."""
    from portal.server import PortalTls, serve
    from wearcast.services import portal_config
    from wearcast.watch.observed import observed

    settings = load_settings()
    if (certificate is None) != (key is None):
        raise SettingsError("--certificate and --key go together; give both or none")
    _require_protected(host, settings.portal_url, tls=certificate is not None, behind_proxy=behind_proxy)
    tls = None if certificate is None or key is None else PortalTls(certificate=certificate, key=key)
    with exit_on_signal(), database_url(settings) as url, observed("portal", settings, url):
        serve(portal_config(settings, url), host, port, tls)


def _require_protected(host: str, portal_url: str, *, tls: bool, behind_proxy: bool) -> None:
    """SettingsError where links and cookies, which are as good as passwords, would go over the net in plain."""
    if not is_local(host) and not tls and not behind_proxy:
        raise SettingsError(
            f"--host {host} can be reached from elsewhere, in plain text; give --certificate and --key, or put a proxy "
            "with TLS before it and say --behind-proxy"
        )
    if (tls or behind_proxy) and not portal_url.startswith("https://"):
        raise SettingsError("set WEARCAST_PORTAL_URL to https://…: only then are cookies kept to TLS")


@app.command()
def link(
    role: Annotated[str, typer.Option(help="owner, workshop or engineer.", show_default=False)],
    subject: Annotated[UUID | None, typer.Option("--id", help="Id of the owner or workshop.")] = None,
) -> None:
    """Print a link that signs in; it is good for an hour."""
    from ingest.database import database_time
    from portal.access import ROLES, signin_url
    from wearcast.secrets import load_secret

    settings = load_settings()
    for known in ROLES:
        if known == role:
            if (subject is None) != (known == "engineer"):
                raise SettingsError("--id goes with owner and workshop (wearcast ingest owner list), not with engineer")
            with connection() as conn:  # the portal goes by its time
                now = database_time(conn)
            print(signin_url(settings.portal_url, load_secret(settings.secret_file), known, subject, now))
            return
    raise SettingsError(f"role {role!r}: choose of {', '.join(ROLES)}")
