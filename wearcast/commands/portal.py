"""``wearcast portal``: the web pages."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from wearcast.commands.common import database_url
from wearcast.settings import SettingsError, load_settings

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
) -> None:
    """Serve the portal until it is stopped. Put a proxy with TLS before it where it leaves this machine."""
    from portal.server import serve
    from wearcast.services import portal_config
    from wearcast.watch.observed import observed

    settings = load_settings()
    with database_url(settings) as url, observed("portal", settings, url):
        serve(portal_config(settings, url), host, port)


@app.command()
def link(
    role: Annotated[str, typer.Option(help="owner, workshop or engineer.", show_default=False)],
    subject: Annotated[UUID | None, typer.Option("--id", help="Id of the owner or workshop.")] = None,
) -> None:
    """Print a link that signs in; it is good for an hour."""
    from portal.access import ROLES, signin_url
    from wearcast.secrets import load_secret

    settings = load_settings()
    for known in ROLES:
        if known == role:
            if (subject is None) != (known == "engineer"):
                raise SettingsError("--id goes with owner and workshop (wearcast ingest owner list), not with engineer")
            print(signin_url(settings.portal_url, load_secret(settings.secret_file), known, subject, datetime.now(UTC)))
            return
    raise SettingsError(f"role {role!r}: choose of {', '.join(ROLES)}")
