"""Links by which whoever runs the demo looks around as an engineer, an owner or a workshop."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from ingest.database import connect
from ingest.registry import owners, workshops
from portal.access import signin_url
from wearcast.demo.stage import Stage
from wearcast.secrets import load_secret

_LIFETIME = timedelta(hours=8)


def signin_links(stage: Stage) -> dict[str, str]:
    """By who they sign in: the engineer, the first owner of each language, and a workshop."""
    portal = stage.environment["WEARCAST_PORTAL_URL"]
    secret = load_secret(Path(stage.environment["WEARCAST_SECRET_FILE"]))
    now = datetime.now(UTC)
    links = {"engineer": signin_url(portal, secret, "engineer", None, now, lifetime=_LIFETIME)}
    with connect(stage.environment["WEARCAST_DATABASE_URL"]) as connection:
        for language in ("en", "zh"):
            owner = next(owner for owner in owners(connection) if owner.language == language)
            link = signin_url(portal, secret, "owner", owner.id, now, lifetime=_LIFETIME)
            links[f"owner {owner.name}"] = link
        workshop = workshops(connection)[0]
        links[f"workshop {workshop.name}"] = signin_url(
            portal, secret, "workshop", workshop.id, now, lifetime=_LIFETIME
        )
    return links
