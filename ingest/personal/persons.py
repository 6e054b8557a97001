"""Where persons' keys are: the table ``personal_key``. All functions leave the transaction to the caller."""

from uuid import UUID

from psycopg import sql
from psycopg.rows import scalar_row

from ingest.database import Connection
from ingest.errors import PersonalDataError
from ingest.personal.vault import Person, the_vault


def open_person(connection: Connection, owner_id: UUID, *, lock: bool = False) -> Person | None:
    """Open a person; None where there is no such owner.

    ``lock`` keeps the key as it is until the transaction ends: whoever seals something with it needs that.
    """
    query = sql.SQL("SELECT wrapped FROM personal_key WHERE owner_id = %s {}").format(
        sql.SQL("FOR SHARE" if lock else "")
    )
    with connection.cursor(row_factory=scalar_row) as cursor:
        wrapped = cursor.execute(query, [owner_id]).fetchone()
    return None if wrapped is None else the_vault().person(owner_id, wrapped)


def keep_person(connection: Connection, person: Person) -> None:
    """Keep a person's key, wrapped; in place of the one before if there is one.

    PersonalDataError where the ring is not the one of those who are there.
    """
    _require_their_ring(connection)
    connection.execute(
        "INSERT INTO personal_key (owner_id, wrapped) VALUES (%s, %s)"
        " ON CONFLICT (owner_id) DO UPDATE SET wrapped = excluded.wrapped",
        [person.owner_id, the_vault().wrap(person)],
    )


def _require_their_ring(connection: Connection) -> None:
    """A ring that is lost or not found is made anew on first use: nobody may be sealed with it beside those before."""
    ring = the_vault().ring
    with connection.cursor(row_factory=scalar_row) as cursor:
        # The first to be sealed with a key looks at all the others, whoever comes later finds that one by the index.
        stranger = cursor.execute(
            "SELECT master_key_id FROM personal_key WHERE master_key_id <> ALL(%(ring)s)"
            " AND NOT EXISTS (SELECT FROM personal_key WHERE master_key_id = %(newest)s) LIMIT 1",
            {"ring": [key.id for key in ring.keys], "newest": ring.newest.id},
        ).fetchone()
    if stranger is not None:
        raise PersonalDataError(
            f"the key ring lacks master key {bytes(stranger).hex()}, with which others are sealed, so it is not theirs;"
            " put the right file into its place, or set WEARCAST_PERSONAL_KEY_FILE to it"
        )
