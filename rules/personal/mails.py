"""Which mails were written to or about a person: the mail folder's files are named by their idempotency keys."""

from psycopg import sql
from psycopg.rows import scalar_row

from ingest import registry
from ingest.database import Connection
from ingest.personal.mask import channel_scheme
from rules.delivery.mail import message_name
from rules.delivery.owner_channel import MAIL_SCHEME, mail_address_of
from rules.personal.places import OF_RULES
from rules.personal.subject import Subject, rows_of


def mail_names(connection: Connection, subject: Subject) -> list[str]:
    """Names of the files, as they would be: which there are is for the folder to say."""
    owner = registry.owner_by_id(connection, subject.owner_id)
    addresses = {mail_address_of(url) for url in owner.notify_urls if channel_scheme(url) == MAIL_SCHEME}
    addresses |= {owner.email} if owner.email else set()
    (outgoing,) = (place for place in OF_RULES if place.table == "outgoing")
    with connection.cursor(row_factory=scalar_row) as cursor:
        query = sql.SQL("SELECT idempotency_key {}").format(rows_of(outgoing))
        keys = cursor.execute(query, subject.parameters).fetchall()
    named = [*keys, *(f"{key}/{address}" for key in keys for address in sorted(addresses))]
    return [f"{message_name(key)}.eml" for key in named]
