"""The owner's answer to a proposed slot: confirm, move, decline, cancel, ask again.

The same pages under two addresses: ``/offer/{token}``, the link of a message, which opens this one booking to whoever
holds it; and ``/bookings/{id}`` for an owner who is signed in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response
from psycopg.errors import DeadlockDetected

from ingest.database import Connection
from portal.calendar_file import calendar_file
from portal.errors import InputError, NotFoundError
from portal.guard import Anyone, Database, Visit, checked_form, owner_only
from portal.ownership import linked_booking, own_booking
from portal.rendering import notice_of, page, redirect
from portal.views.offer import FREE_DAYS, offer_page, slot_key, stage_of
from rules.booking import desk
from rules.booking.errors import BookingError, SlotTakenError
from rules.booking.links import offer_token
from rules.booking.views import BookingView

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True)
class Answering:
    """An owner in front of a booking."""

    view: BookingView
    visit: Visit
    connection: Connection
    base: str  # the page's address; the forms go to what hangs below it
    by_link: bool


def answering(request: Request, visit: Anyone, connection: Database) -> Answering:
    """Whoever holds the link in the address, or the owner who is signed in."""
    if (token := request.path_params.get("token")) is not None:
        view = linked_booking(connection, visit, token)
        return _answering(view, visit, connection, base=f"/offer/{token}", by_link=True)
    owner_only(request)
    try:
        booking_id = UUID(request.path_params["booking_id"])
    except ValueError as error:
        raise NotFoundError("no booking has such a number") from error
    view = own_booking(connection, visit, booking_id)
    return _answering(view, visit, connection, base=f"/bookings/{booking_id}", by_link=False)


Who = Annotated[Answering, Depends(answering)]
_LINK, _OWN = "/offer/{token}", "/bookings/{booking_id}"
_OWNER = [Depends(owner_only)]
_FORM = [Depends(checked_form)]


def _answering(view: BookingView, visit: Visit, connection: Connection, *, base: str, by_link: bool) -> Answering:
    visit = visit.of(language=view.owner_language, time_zone=view.owner_time_zone)
    return Answering(view=view, visit=visit, connection=connection, base=base, by_link=by_link)


def _show(who: Answering, *, status: int = 200, notice: str | None = None, problem: str | None = None) -> Response:
    visit, view = who.visit, desk.booking_view(who.connection, who.view.id)
    stage = stage_of(view, visit.now)
    wants_times = stage in ("open", "ran_out", "declined", "confirmed")
    free = desk.free_slots(who.connection, view.id, visit.now, days=FREE_DAYS) if wants_times else ()
    offer = offer_page(view, free, now=visit.now, language=visit.language, zone=visit.zone)
    return page(
        visit,
        "offer.html",
        status=status,
        title=offer.title,
        offer=offer,
        base=who.base,
        by_link=who.by_link,
        notice=notice,
        problem=problem,
    )


@router.get(_LINK)
@router.get(_OWN, dependencies=_OWNER)
def show(who: Who, request: Request) -> Response:
    """The offers, or what became of them."""
    return _show(who, notice=notice_of(request))


@router.post(_LINK + "/confirm", dependencies=_FORM)
@router.post(_OWN + "/confirm", dependencies=[*_OWNER, *_FORM])
def confirm(who: Who, slot: Annotated[str, Form()] = "") -> Response:
    """Make the held slot a booking; a second click finds it made."""
    stage = stage_of(who.view, who.visit.now)
    if stage == "ran_out":
        return _ask_again(who, notice="hold_expired", refused="problem.hold_expired_none_free")
    if slot and slot != slot_key(who.view):
        return _show(who, status=409, problem="problem.other_slot")
    try:
        desk.confirm(who.connection, who.view.id, who.visit.now)
    except BookingError:
        return _show(who, status=409, problem=f"problem.{stage}")
    return redirect(who.visit, who.base, notice="confirmed")


@router.post(_LINK + "/decline", dependencies=_FORM)
@router.post(_OWN + "/decline", dependencies=[*_OWNER, *_FORM])
def decline(who: Who) -> Response:
    """Give the held slot back."""
    return _answer(who, lambda: desk.decline(who.connection, who.view.id, who.visit.now), notice="declined")


@router.post(_LINK + "/cancel", dependencies=_FORM)
@router.post(_OWN + "/cancel", dependencies=[*_OWNER, *_FORM])
def cancel(who: Who) -> Response:
    """Give a confirmed slot back."""
    return _answer(who, lambda: desk.cancel(who.connection, who.view.id, who.visit.now), notice="cancelled")


@router.post(_LINK + "/move", dependencies=_FORM)
@router.post(_OWN + "/move", dependencies=[*_OWNER, *_FORM])
def move(
    who: Who, offer: Annotated[UUID | None, Form()] = None, start: Annotated[datetime | None, Form()] = None
) -> Response:
    """Move to another offer, or to another free time at the same workshop."""
    notice = "moved" if who.view.state == "confirmed" else "held"
    if offer is not None:
        return _answer(
            who, lambda: desk.move_to_offer(who.connection, who.view.id, offer, who.visit.now), notice=notice
        )
    if start is None or start.tzinfo is None:
        raise InputError("neither an offer nor a start with its time zone")
    return _answer(who, lambda: desk.move_to_slot(who.connection, who.view.id, start, who.visit.now), notice=notice)


@router.post(_LINK + "/again", dependencies=_FORM)
@router.post(_OWN + "/again", dependencies=[*_OWNER, *_FORM])
def again(who: Who) -> Response:
    """Look for new offers, after this booking came to nothing."""
    if who.view.state in ("confirmed", "completed") or stage_of(who.view, who.visit.now) == "open":
        return redirect(who.visit, who.base)
    return _ask_again(who, notice="proposed_again", refused="problem.none_free")


@router.get(_LINK + "/booking.ics")
@router.get(_OWN + "/booking.ics", dependencies=_OWNER)
def calendar(who: Who) -> Response:
    """The booking for the owner's calendar."""
    if who.view.state != "confirmed":
        raise NotFoundError("only a confirmed booking goes into a calendar")
    config = who.visit.config
    content = calendar_file(
        who.view, who.visit.language, link=f"{config.portal_url}{who.base}", stamp=who.view.changed_at
    )
    return Response(
        content,
        media_type="text/calendar; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="wearcast-booking.ics"'},
    )


def _answer(who: Answering, act: Callable[[], object], *, notice: str) -> Response:
    try:
        act()
    except (SlotTakenError, DeadlockDetected):
        return _show(who, status=409, problem="problem.slot_taken")
    except BookingError:
        return _show(who, status=409, problem=f"problem.{stage_of(who.view, who.visit.now)}")
    return redirect(who.visit, who.base, notice=notice)


def _ask_again(who: Answering, *, notice: str, refused: str) -> Response:
    """Give up what has run out, and hold the best of new offers: the owner is here and wants one."""
    desk.expire_holds(who.connection, who.visit.now)
    found = desk.propose_again(who.connection, who.view.alert_id, who.visit.now)
    if found is None:
        return _show(who, status=409, problem=refused)
    # A new proposal is a new booking, with a link of its own.
    base = f"/bookings/{found.id}"
    if who.by_link:
        base = f"/offer/{offer_token(who.visit.config.secret, found.id, who.visit.now)}"
    return redirect(who.visit, base, notice=notice)
