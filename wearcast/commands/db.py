"""``wearcast db``: the database, its schema, what is stored, for how long, and who looks after it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import typer

from wearcast.commands.common import JsonOption, connection, database_url, schema_expected, stop_on_signal
from wearcast.output import print_json, print_rows
from wearcast.settings import load_settings

app = typer.Typer(
    no_args_is_help=True,
    help="""The database: TimescaleDB, yours or a private one.

    With WEARCAST_DATABASE_URL set, every command uses that one. Otherwise a private cluster in the user's cache is
    used; its binaries are found on the machine or fetched as Debian packages, without root.""",
    short_help="The database: start a private one, migrate, maintain, status, long periods.",
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
def status(as_json: JsonOption = False) -> None:
    """Show what is stored, how large it is, how long it is kept, and who maintains it (docs/storage.md)."""
    from ingest.database import license as edition
    from ingest.rollups.status import storage_status

    with connection() as conn:
        storage = storage_status(conn)
        licence = edition(conn)
    counted = {table.name: table.rows for table in storage.tables}
    rows: list[dict[str, object]] = [
        {"what": "TimescaleDB licence", "value": licence or "no TimescaleDB"},
        {"what": "samples", "value": counted["reading"]},
        {"what": "estimates", "value": counted["estimate"]},
        {"what": "events", "value": counted["vehicle_event"]},
        {"what": "batches", "value": counted["batch"]},
        {"what": "rejected messages", "value": storage.rejected_messages},
        {"what": "maintained by", "value": storage.scheduler},
        {"what": "because", "value": storage.reason},
        {"what": "rolled up before", "value": storage.settled_before},
        {"what": "hours waiting to be rolled up", "value": storage.pending_hours},
        {"what": "waiting since", "value": storage.pending_since},
        {"what": "raw rows dropped before", "value": storage.raw_dropped_before},
        {"what": "last run", "value": storage.last_run_at},
        {"what": "last run took, s", "value": storage.last_run_seconds},
    ]
    tables: list[dict[str, object]] = [
        {
            "table": table.name,
            "rows": table.rows,
            "size_MB": round(table.size_bytes / 1e6, 1),
            "chunks": table.chunks,
            "compressed": table.compressed_chunks,
            "oldest_chunk": table.oldest,
            "kept": "for ever" if table.kept_days is None else f"{table.kept_days} days",
        }
        for table in storage.tables
    ]
    if as_json:
        print_json([*rows, {"what": "tables", "value": tables}])
        return
    print_rows(rows, as_json=False)
    print()
    print_rows(tables, as_json=False)


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


@app.command()
def maintain(
    once: Annotated[bool, typer.Option("--once", help="One round, then end.")] = False,
) -> None:
    """Roll up hours and days, drop what is too old, until stopped; of several such processes one works.

    Where TimescaleDB's licence has policies, they do the work, and this process sets them up and looks after them.
    """
    from ingest.database import connect
    from ingest.rollups.maintenance import run_maintenance, run_round
    from wearcast.services import maintenance_config
    from wearcast.watch.observed import observed

    settings = load_settings()
    with database_url(settings) as url, schema_expected():
        config = maintenance_config(settings, url)
        if once:
            with connect(url, autocommit=True) as conn:
                decision = run_round(conn, config)
            print(decision.reason)
            return
        with stop_on_signal() as stop, observed("maintenance", settings, url):
            run_maintenance(config, stop)


@app.command()
def rollup(
    vehicle: Annotated[UUID, typer.Argument(help="Id of the vehicle.", show_default=False)],
    signal: Annotated[str, typer.Argument(help="Column of the signal catalogue, as speed.", show_default=False)],
    days: Annotated[int, typer.Option(help="How far back.", min=1)] = 30,
    by: Annotated[Literal["day", "hour"], typer.Option(help="A row per day or per hour, in UTC.")] = "day",
    as_json: JsonOption = False,
) -> None:
    """Show a signal over a long period: count, least, greatest, mean and last value, in the catalogue's unit."""
    from ingest.rollups.read import vehicle_rollup
    from telemetry.catalogue import catalogue

    end = datetime.now(UTC)
    with connection() as conn:
        buckets = vehicle_rollup(conn, vehicle, signal, end - timedelta(days=days), end, by=by)
    unit = catalogue().by_column(signal).unit.key
    print_rows(
        [
            {
                by: bucket.start,
                "count": bucket.value.count,
                f"minimum_{unit}": bucket.value.minimum,
                f"maximum_{unit}": bucket.value.maximum,
                f"mean_{unit}": bucket.value.mean,
                f"last_{unit}": bucket.value.last,
                "last_at": bucket.value.last_at,
            }
            for bucket in buckets
        ],
        as_json=as_json,
        empty="no values in this period",
    )
