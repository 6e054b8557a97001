"""Who may use a route. Every route depends on one :class:`Guard`; :func:`require_guards` refuses to start otherwise.

A guard knows roles. Whether this car or booking is the asker's own is decided where it is read
(:mod:`portal.ownership`), and a foreign one looks like one that does not exist.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Final, cast
from zoneinfo import ZoneInfo

from fastapi import Depends, FastAPI, Form, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from ingest.database import Connection
from portal.access import Identity, Role, Session, form_token, form_token_is_good, new_session, read_session
from portal.config import PortalConfig
from portal.connections import Connections
from portal.errors import FormExpiredError, PortalConfigError, SignInNeededError, WrongRoleError
from portal.texts import LANGUAGES, Language, best_language

SESSION_COOKIE: Final = "wearcast_session"
LANGUAGE_COOKIE: Final = "wearcast_language"
_UNSAFE: Final = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request: who asks, when, and in which language and time zone they are answered."""

    config: PortalConfig
    session: Session
    session_is_new: bool
    language: Language
    language_was_chosen: bool  # by ?lang= or before; otherwise the owner's own language counts
    choose_language: bool  # by ?lang=, now
    zone: ZoneInfo
    now: datetime
    path: str

    @property
    def identity(self) -> Identity | None:
        """Who is signed in."""
        return self.session.identity

    @property
    def role(self) -> Role | None:
        """As what."""
        return None if self.identity is None else self.identity.role

    @property
    def form_token(self) -> str:
        """For the forms of the page."""
        return form_token(self.config.secret, self.session)

    def of(self, *, language: str | None = None, time_zone: str) -> "Visit":
        """The same visit in somebody's time zone, and in their language unless the visitor chose one."""
        spoken = self.language if self.language_was_chosen or language is None else cast("Language", language)
        return replace(self, language=spoken, zone=ZoneInfo(time_zone))


class Guard:
    """A dependency that lets some roles in. ``roles`` None: anybody, signed in or not."""

    def __init__(self, name: str, roles: frozenset[Role] | None) -> None:
        self.name = name
        self.roles = roles

    def __call__(self, request: Request) -> Visit:
        """Let the request in as a visit, or raise SignInNeededError or WrongRoleError."""
        visit = visit_of(request)
        if self.roles is not None:
            if visit.role is None:
                raise SignInNeededError("nobody is signed in")
            if visit.role not in self.roles:
                raise WrongRoleError(f"{self.name} is not for the role {visit.role}")
        return visit


def visit_of(request: Request) -> Visit:
    """Read cookies and query; grants nothing."""
    config = cast("PortalConfig", request.app.state.config)
    now = config.clock()
    session = read_session(config.secret, request.cookies.get(SESSION_COOKIE), now)
    asked = request.query_params.get("lang")
    chosen = asked if asked in LANGUAGES else request.cookies.get(LANGUAGE_COOKIE)
    was_chosen = chosen in LANGUAGES
    return Visit(
        config=config,
        session=session or new_session(None, now),
        session_is_new=session is None,
        language=cast("Language", chosen) if was_chosen else best_language(request.headers.get("accept-language")),
        language_was_chosen=was_chosen,
        choose_language=asked in LANGUAGES,
        zone=ZoneInfo("UTC"),
        now=now,
        path=request.url.path,
    )


anyone = Guard("anyone", None)  # also for offer links: the token in the address is checked by the page
signed_in = Guard("signed in", frozenset({"owner", "workshop", "engineer"}))
owner_only = Guard("owner", frozenset({"owner"}))
owner_or_engineer = Guard("owner or engineer", frozenset({"owner", "engineer"}))
workshop_only = Guard("workshop", frozenset({"workshop"}))
workshop_or_engineer = Guard("workshop or engineer", frozenset({"workshop", "engineer"}))
engineer_only = Guard("engineer", frozenset({"engineer"}))

Anyone = Annotated[Visit, Depends(anyone)]
SignedIn = Annotated[Visit, Depends(signed_in)]
OwnerOnly = Annotated[Visit, Depends(owner_only)]
OwnerOrEngineer = Annotated[Visit, Depends(owner_or_engineer)]
WorkshopOnly = Annotated[Visit, Depends(workshop_only)]
WorkshopOrEngineer = Annotated[Visit, Depends(workshop_or_engineer)]
EngineerOnly = Annotated[Visit, Depends(engineer_only)]


def checked_form(request: Request, form_token: Annotated[str, Form()] = "") -> None:
    """Refuse a form that was not made for this session (CSRF). Every route that changes something depends on it."""
    visit = visit_of(request)
    session = None if visit.session_is_new else visit.session
    if not form_token_is_good(visit.config.secret, session, form_token):
        raise FormExpiredError("the form's token is not this session's")


async def database(request: Request) -> AsyncIterator[Connection]:
    """A connection for one request. Each of the desk's functions commits by itself, before the answer is sent."""
    connections = cast("Connections", request.app.state.connections)
    async with connections.one() as connection:
        # Otherwise a first SELECT would open a transaction that ends only after the browser has its redirect.
        connection.autocommit = True
        yield connection


# Given back before the answer is sent: a phone that takes its time over a download keeps nobody from the database.
Database = Annotated[Connection, Depends(database, scope="function")]


def dependencies_of(route: APIRoute) -> set[Callable[..., Any]]:
    """Everything a route depends on, at any depth."""

    def walk(dependant: Dependant) -> Iterator[Callable[..., Any]]:
        for child in dependant.dependencies:
            if child.call is not None:
                yield child.call
            yield from walk(child)

    return set(walk(route.dependant))


def guard_of(route: APIRoute) -> Guard | None:
    """The guard of a route, the strictest if it has several."""
    guards = [call for call in dependencies_of(route) if isinstance(call, Guard)]
    return min(guards, key=lambda guard: 99 if guard.roles is None else len(guard.roles), default=None)


def require_guards(app: FastAPI) -> None:
    """Refuse an application with a route without a guard, or one that changes something without a checked form."""
    for route in app.routes:
        if not isinstance(route, APIRoute) or guard_of(route) is None:
            raise PortalConfigError(f"the route {getattr(route, 'path', route)} has no guard; add one of portal.guard")
        if (route.methods or set()) & _UNSAFE and checked_form not in dependencies_of(route):
            raise PortalConfigError(f"the route {route.path} changes something without checked_form; add it")
