"""``wearcast db backup``, ``backups`` and ``restore``: sealed copies of the database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from wearcast.commands import db
from wearcast.commands.common import JsonOption, database_url, schema_expected
from wearcast.output import print_rows
from wearcast.settings import load_settings

app = db.app
FolderOption = Annotated[Path | None, typer.Option("--dir", help="Folder of backups; WEARCAST_BACKUP_DIR without.")]


@app.command()
def backup(
    folder: FolderOption = None,
    keep_days: Annotated[int, typer.Option(help="Delete backups older than this; the newest stays.", min=1)] = 30,
) -> None:
    """Write a sealed backup, and delete old ones. It is of no use to anyone without the key ring."""
    from wearcast.backups.dump import take_backup
    from wearcast.backups.folder import BackupFolder
    from wearcast.keys import open_keys

    settings = load_settings()
    place = BackupFolder(folder or settings.backup_dir)
    now = datetime.now(UTC)
    with database_url(settings) as url, schema_expected():
        taken = take_backup(url, place, open_keys(settings).read(), _programs(url), now)
    pruned = place.prune(now, timedelta(days=keep_days))
    print(f"{taken.path}: {taken.size / 1e6:.1f} MB" + (f"; deleted {len(pruned)} old" if pruned else ""))


@app.command()
def backups(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """List the backups, from old to new."""
    from wearcast.backups.folder import BackupFolder

    place = BackupFolder(folder or load_settings().backup_dir)
    print_rows(
        [{"taken": entry.taken_at, "bytes": entry.size, "file": entry.path} for entry in place.backups()],
        as_json=as_json,
        empty=f"no backup in {place.path}; wearcast db backup makes one",
    )


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="Backup to put back.", exists=True, dir_okay=False, show_default=False)],
    database: Annotated[str, typer.Option(help="Name of the new database on the same server.")] = "restored",
    folder: FolderOption = None,
) -> None:
    """Put a backup into a new database; whoever was erased since is erased in it before it gets its name.

    The database in use stays as it is. Then stop the services, point WEARCAST_DATABASE_URL to the new one, start them.
    """
    from wearcast.backups.dump import restore_backup
    from wearcast.backups.folder import BackupFolder
    from wearcast.keys import open_keys

    settings = load_settings()
    place = BackupFolder(folder or settings.backup_dir)
    with database_url(settings) as url:
        _, applied = restore_backup(url, database, file, place, open_keys(settings).read(), _programs(url))
    print(f"{database}: restored; {applied} erasures applied again")


def _programs(url: str) -> Path:
    """Folder of a pg_dump that suits the server."""
    from ingest.database import connect
    from wearcast.embedded.postgres_binaries import ensure_client

    with connect(url) as connection:
        major = connection.info.server_version // 10000
    return ensure_client(major, lambda text: typer.echo(text, err=True))
