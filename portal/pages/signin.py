"""Signing in by link, signing out, and where each role begins. Also what needs no sign-in: style sheet and health."""

from importlib import resources
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from psycopg.rows import scalar_row

from ingest import registry
from ingest.errors import RegistryError
from portal.access import Identity, new_session, read_signin_token
from portal.errors import LinkInvalidError
from portal.guard import Anyone, Database, anyone, checked_form
from portal.rendering import notice_of, page, redirect, style_sheet
from portal.texts import say

router = APIRouter()


@router.get("/", include_in_schema=False)
def home(visit: Anyone) -> Response:
    """Send everybody where their work begins."""
    return redirect(visit, _start_of(visit.identity))


@router.get("/signin", include_in_schema=False)
def sign_in(
    visit: Anyone,
    request: Request,
    connection: Database,
    token: Annotated[str, Query()] = "",
    vehicle: Annotated[UUID | None, Query()] = None,
) -> Response:
    """With a link's token: sign in, and go to the vehicle it names. Without: say how one gets in."""
    if not token:
        title = say("signin.title", visit.language)
        return page(visit, "signin.html", title=title, notice=notice_of(request))
    identity = read_signin_token(visit.config.secret, token, visit.now)
    _require_known(connection, identity)
    start = _start_of(identity) if vehicle is None else f"/vehicles/{vehicle}"
    return redirect(visit, start, session=new_session(identity, visit.now))


@router.post("/signout", include_in_schema=False, dependencies=[Depends(checked_form)])
def sign_out(visit: Anyone) -> Response:
    """End the session."""
    return redirect(visit, "/signin", notice="signed_out", session=new_session(None, visit.now))


@router.get("/healthz", tags=["service"], dependencies=[Depends(anyone)])
def health(connection: Database) -> JSONResponse:
    """Whether the portal can answer: it reaches its database."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        cursor.execute("SELECT 1").fetchone()
    return JSONResponse({"status": "ok"})


@router.get("/static/style.css", include_in_schema=False, dependencies=[Depends(anyone)])
def style() -> Response:
    """The style sheet; its address carries its version, so browsers may keep it."""
    content, _ = style_sheet()
    return Response(content, media_type="text/css", headers={"Cache-Control": "public, max-age=31536000, immutable"})


@router.get("/static/icon.svg", include_in_schema=False, dependencies=[Depends(anyone)])
def icon() -> Response:
    """The icon of the pages."""
    content = resources.files("portal").joinpath("static/icon.svg").read_bytes()
    return Response(content, media_type="image/svg+xml", headers={"Cache-Control": "public, max-age=86400"})


def _start_of(identity: Identity | None) -> str:
    if identity is None:
        return "/signin"
    match identity.role:
        case "owner":
            return "/cars"
        case "workshop":
            return f"/workshops/{identity.subject_id}"
        case "engineer":
            return "/fleet"


def _require_known(connection: Database, identity: Identity) -> None:
    """A link outlives its owner or workshop: then it opens nothing."""
    try:
        if identity.role == "owner" and identity.subject_id is not None:
            registry.owner_by_id(connection, identity.subject_id)
        elif identity.role == "workshop" and identity.subject_id is not None:
            registry.workshop_by_id(connection, identity.subject_id)
    except RegistryError as error:
        raise LinkInvalidError("whom the link signs in is not registered any more") from error
