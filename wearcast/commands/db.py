"""``wearcast db``: the database, its schema and how full it is."""

from typing import Annotated

import typer

from wearcast.commands.common import JsonOption, connection, database_url, stop_on_signal
from wearcast.output import print_rows
from wearcast.settings import load_settings

app = typer.Typer(
    no_args_is_help=True,
    help="""The database: TimescaleDB, yours or a private one.

    With WEARCAST_DATABASE_URL set, every command uses that one. Otherwise a private cluster in the user's cache is
    used; its binaries are found on the machine or fetched as Debian packages, without root.""",
    short_help="The database: start a private one, migrate, status.",
)


@app.command()
def up() -> None:
    """Run the private database until Ctrl-C, and print its URL for WEARCAST_DATABASE_URL."""
    with stop_on_signal() as stop, database_url(load_settings()) as url:
        print(f"WEARCAST_DATABASE_URL={url}", flush=True)
        stop.wait()


@app.command()
def migrate() -> None:
    """Bring the schema up to date (safe to repeat, and to run twice at once)."""
    from wearcast.database import migrate as apply

    with database_url(load_settings()) as url:
        apply(url)
    print("The schema is up to date.")


@app.command()
def batches(
    device: Annotated[str | None, typer.Argument(help="Only of this device.")] = None, as_json: JsonOption = False
) -> None:
    """Show what is committed of each boot of each device; nothing is missing where batches = last sequence."""
    from ingest.reading_store import counts

    with connection() as conn:
        boots = counts(conn).boots
    print_rows(
        [
            {
                "device": boot.device_id,
                "boot": boot.boot,
                "batches": boot.batches,
                "last_sequence": boot.last_sequence,
                "items": boot.items,
                "resent": boot.resent,
            }
            for boot in boots
            if device in {None, boot.device_id}
        ],
        as_json=as_json,
    )
