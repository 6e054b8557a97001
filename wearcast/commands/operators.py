"""``wearcast operators``: who may ask devices something from afar, and what was asked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from telemetry.commands import CommandKind
from wearcast.commands.common import JsonOption, connection
from wearcast.output import print_json, print_rows

app = typer.Typer(
    no_args_is_help=True,
    help="""Who may ask devices something from afar (`wearcast remote`), and what was asked.

    Each command needs a token. The database keeps its digest alone; a token ends by itself and can be revoked.""",
    short_help="Who may ask devices from afar, and what was asked.",
)


@app.command()
def allow(
    name: Annotated[str, typer.Argument(help="Who holds the token, as the record will show.", show_default=False)],
    device: Annotated[str | None, typer.Option(help="Only this device; all without.")] = None,
    kind: Annotated[list[CommandKind] | None, typer.Option(help="Only this; repeat for several. All without.")] = None,
    days: Annotated[int, typer.Option(help="How long it is valid.", min=1, max=365)] = 30,
    save: Annotated[bool, typer.Option("--save", help="Keep it where `wearcast remote` looks for it.")] = False,
) -> None:
    """Grant somebody to ask, and print the token: it cannot be had again.

    Example: wearcast operators allow anna --device dongle-0007 --kind dtc --days 7
    """
    from ingest.database import database_time
    from ingest.outbound.commands import allow as grant
    from wearcast.embedded.paths import make_folder, write_private
    from wearcast.settings import load_settings

    with connection() as conn:
        granted, token = grant(
            conn,
            operator=name,
            kinds=kind or list(CommandKind),
            device=device,
            valid_for=timedelta(days=days),
            now=database_time(conn),
        )
    if save:
        file: Path = load_settings().operator_token_file
        make_folder(file.parent)
        write_private(file, token + "\n")
        print(f"{granted.id}: saved in {file}, valid until {granted.expires_at:%Y-%m-%d}")
    else:
        print(token)


@app.command()
def revoke(grant: Annotated[UUID, typer.Argument(help="Id of the grant.", show_default=False)]) -> None:
    """End a grant at once."""
    from ingest.database import database_time
    from ingest.outbound.commands import revoke as end

    with connection() as conn:
        end(conn, grant, database_time(conn))
    print(f"{grant}: revoked")


@app.command("list")
def list_grants(as_json: JsonOption = False) -> None:
    """Show who may ask what, ended grants too."""
    from ingest.outbound.commands import grants

    with connection() as conn:
        rows = grants(conn)
    print_rows(
        [
            {
                "id": row.id,
                "operator": row.operator,
                "device": row.device_id or "all",
                "kinds": ", ".join(row.kinds),
                "expires": row.expires_at,
                "revoked": row.revoked_at,
            }
            for row in rows
        ],
        as_json=as_json,
        empty="nobody may ask; wearcast operators allow NAME grants it",
    )


@app.command()
def log(
    device: Annotated[str | None, typer.Option(help="Only this device.")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show what was asked, by whom, and what came of it; denied ones too. With --json also the answers."""
    from ingest.outbound.commands import close_abandoned, commands

    with connection() as conn:
        close_abandoned(conn, datetime.now(UTC))
        rows = commands(conn, device=device, limit=limit)
    if as_json:
        print_json(rows)
        return
    print_rows(
        [
            {
                "issued": row.issued_at,
                "device": row.device_id,
                "kind": row.kind,
                "operator": row.operator,
                "state": row.state,
                "after_s": None if row.finished_at is None else (row.finished_at - row.issued_at).total_seconds(),
                "reason": row.reason,
            }
            for row in rows
        ],
        as_json=False,
        empty="nothing was asked",
    )
