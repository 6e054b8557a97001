"""Owners as the command shows them: masked, or plain to who has said why."""

from typing import Final

from ingest.personal.mask import mask_channel, mask_email, mask_name, mask_position
from ingest.registry import Owner

FIELDS: Final = ("name", "email", "notify_urls", "position")  # what a plain row shows, as the access log names it


def masked_row(owner: Owner) -> dict[str, object]:
    """Enough to tell two apart, not enough to know either."""
    position = None
    if owner.latitude is not None and owner.longitude is not None:
        position = mask_position(owner.latitude, owner.longitude)
    return _row(
        owner,
        name=mask_name(owner.name),
        email=None if owner.email is None else mask_email(owner.email),
        notify=[mask_channel(url) for url in owner.notify_urls],
        position=position,
    )


def plain_row(owner: Owner) -> dict[str, object]:
    """Everything."""
    position = None if owner.latitude is None else (owner.latitude, owner.longitude)
    return _row(owner, name=owner.name, email=owner.email, notify=owner.notify_urls, position=position)


def _row(owner: Owner, *, name: str, email: str | None, notify: object, position: object) -> dict[str, object]:
    return {
        "id": owner.id,
        "name": name,
        "email": email,
        "notify": notify or None,
        "position": position,
        "language": owner.language,
        "time_zone": owner.time_zone,
    }
