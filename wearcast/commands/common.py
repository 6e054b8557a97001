"""What the groups share: the ``--json`` option, the database they work on, stopping on a signal."""

import contextlib
import getpass
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from wearcast.car_tables import Language
from wearcast.settings import Settings, load_settings

if TYPE_CHECKING:
    from ingest.database import Connection

LanguageOption = Annotated[Language, typer.Option(help="Language of what trouble codes mean.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@contextlib.contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """Where the database is: the one that is set, or the private cluster, which runs while this does.

    Its schema is brought up to date, so that a first command on a new machine works. The keys to personal data are at
    hand from here on.
    """
    from wearcast.database import migrate
    from wearcast.embedded.timescaledb import private_database
    from wearcast.keys import open_keys

    open_keys(settings)
    if settings.database_url is not None:
        yield settings.database_url
        return
    with private_database(progress=lambda text: typer.echo(text, err=True)) as database:
        migrate(database.url)
        yield database.url


@contextlib.contextmanager
def connection() -> Iterator["Connection"]:
    """A transaction on the database of the settings; committed at the end. DatabaseError where it has no schema."""
    from ingest.database import connect

    with database_url(load_settings()) as url, schema_expected(), connect(url) as opened:
        yield opened


@contextlib.contextmanager
def autocommitting(settings: Settings) -> Iterator["Connection"]:
    """As :func:`connection`, for work that makes transactions of its own."""
    from ingest.database import connect

    with database_url(settings) as url, schema_expected(), contextlib.closing(connect(url, autocommit=True)) as opened:
        yield opened


def log_operator_access(connection: "Connection", owner_id: UUID, fields: Sequence[str], purpose: str) -> None:
    """Enter into the access log that whoever runs this command gets to see personal data."""
    from ingest.personal.access_log import record_access

    record_access(connection, owner_id, role="operator", actor=getpass.getuser(), fields=fields, purpose=purpose)


@contextlib.contextmanager
def schema_expected() -> Iterator[None]:
    """Around what works on the database: DatabaseError where its schema is another version's, or it goes away."""
    import psycopg

    from ingest.errors import DatabaseError

    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise DatabaseError(
            f"the database's schema is not this version's ({error.diag.message_primary}); run: wearcast db migrate"
        ) from error
    except psycopg.OperationalError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DatabaseError(f"the database went away ({reason}); look whether it runs, and do it again") from error


@contextlib.contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, so that a process ends its work instead of breaking off."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def exit_on_signal() -> Iterator[None]:
    """SIGTERM leaves the block as an exit would, so that what stands around a server is ended in order.

    uvicorn ends its requests and raises the signal again, which without a handler of ours ends the process at once.
    """

    def leave(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
