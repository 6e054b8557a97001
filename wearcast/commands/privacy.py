"""``wearcast privacy``: the rights of people over their data, and the keys it is sealed with."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from wearcast.commands.common import JsonOption, autocommitting, connection, log_operator_access
from wearcast.output import print_rows
from wearcast.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from ingest.outbound.wipes import WipeEntry
    from wearcast.erasure import Preview

app = typer.Typer(
    no_args_is_help=True,
    help="""Personal data: who saw it, a copy of it, its end, and its keys.

    Names, addresses, positions and VINs are sealed in the database with a key per person; the master keys lie in
    WEARCAST_PERSONAL_KEY_FILE. docs/privacy.md says what is kept of whom, why and for how long.""",
    short_help="Personal data: access log, export, erasure, keys.",
)

Owner = Annotated[UUID, typer.Argument(help="Id of the owner (wearcast ingest owner list).", show_default=False)]


@app.command()
def log(
    owner: Owner,
    limit: Annotated[int | None, typer.Option(help="How many, newest first; all without.", min=1)] = None,
    as_json: JsonOption = False,
) -> None:
    """Show who saw plain personal data of an owner, or was sent it, and what for. Also after an erasure."""
    from ingest.personal.access_log import accesses

    with connection() as conn:
        entries = accesses(conn, owner, limit)
    print_rows(
        [
            {
                "at": entry.at,
                "role": entry.role,
                "actor": entry.actor,
                "fields": ", ".join(entry.fields),
                "purpose": entry.purpose,
            }
            for entry in entries
        ],
        as_json=as_json,
        empty="nobody saw anything",
    )


@app.command()
def export(
    owner: Owner,
    out: Annotated[Path, typer.Option(help="ZIP file to write; it must not exist.", show_default=False)],
) -> None:
    """Write everything that is stored about an owner into a ZIP of JSON and CSV, readable by programs."""
    from rules.personal.export import write_export
    from rules.personal.subject import find_subject

    with autocommitting(load_settings()) as conn:
        find_subject(conn, owner)
        log_operator_access(conn, owner, ["everything"], "export")
        try:
            handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise SettingsError(f"{out} cannot be written ({error.strerror}); choose another --out") from error
        with os.fdopen(handle, "wb") as file:
            written = write_export(conn, owner, file, datetime.now(UTC))
    print(f"{out}: {sum(written.values())} rows in {sum(map(bool, written.values()))} files")


@app.command()
def erase(
    owner: Owner,
    reason: Annotated[
        str, typer.Option(help="request, consent-withdrawn, contract-ended or inactive.", show_default=False)
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase an owner: vehicles, data, messages, mails, the key in all backups. It cannot be undone.

    Open bookings are called off first. The dongles are told to empty themselves. Run it again with the same id if it
    was broken off.
    """
    from ingest.database import database_time
    from wearcast.backups.folder import BackupFolder
    from wearcast.erasure import REASONS, preview_erasure
    from wearcast.erasure import erase as erase_everywhere
    from wearcast.keys import open_keys
    from wearcast.services import broker_config

    chosen = next((known for known in REASONS if known == reason), None)
    if chosen is None:
        raise SettingsError(f"--reason {reason!r}: choose of {', '.join(REASONS)}")
    settings = load_settings()
    backups = BackupFolder(settings.backup_dir)
    with autocommitting(settings) as conn:
        if not any(entry.subject.owner_id == owner for entry in backups.erasures()):
            _show(preview_erasure(conn, owner, settings.mail_dir, backups))
        if dry_run:
            return
        if not yes and not typer.confirm("Erase all of this for good?"):
            raise typer.Exit(1)
        log_operator_access(conn, owner, ["everything"], f"erasure: {chosen}")
        done = erase_everywhere(
            conn,
            owner,
            reason=chosen,
            mail_folder=settings.mail_dir,
            backups=backups,
            ring=open_keys(settings).read(),
            broker=broker_config(settings),
            wipe_within=timedelta(days=settings.wipe_days),
            now=database_time(conn),
        )
    print(f"{owner}: erased; {sum(done.rows.values())} rows and {done.mails} mails are gone")
    if done.broker:
        print(f"retained messages may remain on the broker ({done.broker}); run it again when the broker is there")
    for entry in done.wipes:
        print(_becomes_of(entry))


def _becomes_of(wipe: "WipeEntry") -> str:
    if wipe.outcome is None:
        return (
            f"{wipe.device_id} is told to empty itself, until {wipe.deadline:%Y-%m-%d};"
            " what becomes of it: wearcast privacy wipes"
        )
    if wipe.outcome in {"wiped", "by-hand"}:
        return f"{wipe.device_id} is empty"
    return (
        f"{wipe.device_id} cannot be told ({wipe.outcome}) and holds their data still: take it back, empty it with"
        f" `wearcast agent forget`, and then: wearcast privacy wipes --done {wipe.device_id}"
    )


def _show(preview: "Preview") -> None:
    rows = [{"where": f"table {table}", "how_many": count} for table, count in preview.rows.items()]
    rows += [
        {"where": "mail folder", "how_many": len(preview.mails)},
        {"where": "backups in which the key is destroyed", "how_many": preview.backups},
    ]
    print_rows(rows, as_json=False, title=f"What is stored of owner {preview.subject.owner_id}")
    if preview.subject.device_ids:
        print(f"Dongles that are emptied and cut off: {', '.join(preview.subject.device_ids)}")


@app.command()
def wipes(
    done: Annotated[
        str | None, typer.Option(help="Id of a dongle that was emptied or destroyed by hand.", show_default=False)
    ] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that are not over.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show which dongles of erased people were told to empty themselves, and what became of each."""
    from ingest.database import database_time
    from ingest.outbound import wipes as stored

    with connection() as conn:
        if done is not None:
            stored.end_by_hand(conn, done, database_time(conn))
            conn.commit()
        entries = stored.wipes(conn, only_open=only_open)
    print_rows(
        [
            {
                "device": entry.device_id,
                "asked": entry.asked_at,
                "state": entry.outcome or "open",
                "until": entry.deadline if entry.outcome is None else entry.ended_at,
                "sent": entry.attempts,
                "refused": entry.refusal,
                "batches": entry.batches,
                "files": entry.files,
            }
            for entry in entries
        ],
        as_json=as_json,
        empty="no dongle has to empty itself",
    )


@app.command()
def rotate(
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only add a key that opens and does not seal yet, to copy it first.")
    ] = False,
) -> None:
    """Seal everybody anew under a new master key. Services need not stop; it may be broken off and run again.

    On several machines: --prepare, copy the key ring to all, and then run it.
    """
    from ingest.personal.rotate import only_rotation, persons_by_key, reseal_all
    from wearcast.keys import open_keys

    settings = load_settings()
    rings = open_keys(settings)
    if prepare:
        rings.change(lambda ring: ring if ring.prepared else ring.with_prepared(datetime.now(UTC)))
        print(f"{rings.path} has a key that waits; copy it to every machine, then run: wearcast privacy rotate")
        return
    with autocommitting(settings) as conn, only_rotation(conn):
        used = set(persons_by_key(conn))
        # Otherwise a rotation that was broken off is finished.
        rings.change(
            lambda ring: (
                ring.with_another(datetime.now(UTC)) if ring.prepared is not None or used <= {ring.newest.id} else ring
            )
        )
        count = sum(1 for _ in reseal_all(conn))
    print(f"{rings.read().newest.id.hex()} is the newest key; {count} people are sealed anew")
    print("Copy the key ring to every other machine that has one; `wearcast privacy keys` says which keys can go.")


@app.command()
def keys(
    remove: Annotated[str | None, typer.Option(help="Id of a key that nothing uses any more.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the master keys and what each still opens; remove one that opens nothing."""
    from ingest.errors import PersonalDataError
    from ingest.personal.rotate import persons_by_key
    from wearcast.backups.folder import BackupFolder
    from wearcast.keys import open_keys

    settings = load_settings()
    rings = open_keys(settings)
    backups = BackupFolder(settings.backup_dir)
    with connection() as conn:
        people = persons_by_key(conn)
    ring = rings.read()
    in_backups = backups.master_keys_in_use(ring)
    if remove is not None:
        wanted = next((key.id for key in ring.keys if key.id.hex() == remove), b"")
        if people.get(wanted) or wanted in in_backups:
            raise PersonalDataError(
                f"key {remove} still opens {people.get(wanted, 0)} people"
                + (f" and backups in {backups.path}" if wanted in in_backups else "")
                + "; rotate first, and let old backups run out"
            )
        rings.change(lambda ring: ring.without(wanted))
        print(f"{remove}: removed from this ring; remove it from its copies too")
        return
    print_rows(
        [
            {
                "id": key.id.hex(),
                "created": key.created,
                "encrypts": key.id == ring.newest.id,
                "people": people.get(key.id, 0),
                "in_backups": key.id in in_backups,
            }
            for key in ring.keys
        ],
        as_json=as_json,
    )
