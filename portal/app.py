"""The portal on one screen: pages for each kind of user, who may see them, and what every answer carries."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

from ingest.database import open_pool
from ingest.errors import PersonalDataError
from ingest.pulse import PULSE
from ingest.session import Session
from portal import metrics, rendering
from portal.clock import heard
from portal.config import PortalConfig
from portal.connections import Connections
from portal.errors import PageError
from portal.guard import require_guards
from portal.pages import api, fleet, my_data, offer, signin, vehicle, workshop
from portal.reach import Line, Reach, probing_url

log = logging.getLogger("wearcast.portal")

_OVERDUE_S = 30.0  # an event loop that stands still for that long is dead
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # The address of an offer is its key: it goes to nobody else.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def create_app(config: PortalConfig) -> FastAPI:
    """The application. It opens its database pool when it starts; PortalConfigError if a route has no guard."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        rendering.load()
        reach, name = Reach(), "wearcast portal"
        line = Line(reach)
        session = Session(probing_url(config.database_url), application_name=f"{name} clock", prepare=line.hold)
        with (
            closing(line),
            open_pool(config.database_url, application_name=name, max_size=8, is_away=reach.is_away) as pool,
            heard(session, config.clock, reach),
        ):
            app.state.connections = Connections(pool, reach)
            pulse = asyncio.create_task(_keep_pulse(app, line), name="keep the pulse")
            yield
            pulse.cancel()
            PULSE.ended("event loop")

    app = FastAPI(
        title="Wearcast portal",
        version="1",
        description="Vehicles, their health and their bookings. Sign in through a link; the session is a cookie.",
        lifespan=lifespan,
        openapi_url=None,  # docs/openapi.json is the contract; nothing unguarded is served
        docs_url=None,
        redoc_url=None,
    )
    app.state.config = config
    for module in (signin, fleet, my_data, vehicle, offer, workshop, api):
        app.router.routes.extend(module.router.routes)
    require_guards(app)
    _say_errors(app)
    app.middleware("http")(_finish)
    return app


async def _keep_pulse(app: FastAPI, line: Line) -> None:
    while True:
        line.end_silence()
        PULSE.turn("event loop", _OVERDUE_S)
        metrics.look_at_connections(app.state.connections)
        await asyncio.sleep(1)


async def _finish(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Headers of every answer, and a line in the log: the route and never the address, which may hold a token."""
    begun = time.monotonic()
    try:
        response = await call_next(request)
    except BaseException:  # nobody's handler takes it: the outermost layer answers 500, which counts like any other
        _count(request, 500, begun)
        raise
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    if request.app.state.config.cookies_are_secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    _count(request, response.status_code, begun)
    return response


def _count(request: Request, status: int, begun: float) -> None:
    template = getattr(request.scope.get("route"), "path", None)
    metrics.answered(template, status, time.monotonic() - begun)
    log.info("%s %s %d", request.method, template or "(no route)", status)


def _say_errors(app: FastAPI) -> None:
    """Every error becomes a page in plain words."""

    @app.exception_handler(PageError)
    def page_error(request: Request, error: PageError) -> Response:
        return rendering.error_answer(request, error.status, error.key)

    @app.exception_handler(RequestValidationError)
    def wrong_input(request: Request, error: RequestValidationError) -> Response:
        # What no number can be is not found, like a number that does not exist.
        in_path = any(entry["loc"][0] == "path" for entry in error.errors())
        return (
            rendering.error_answer(request, 404, "not_found")
            if in_path
            else rendering.error_answer(request, 400, "input")
        )

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        key = "not_found" if error.status_code == 404 else "method" if error.status_code == 405 else "input"
        return rendering.error_answer(request, error.status_code, key)

    @app.exception_handler(PersonalDataError)
    def no_keys(request: Request, error: PersonalDataError) -> Response:
        log.error("personal data cannot be opened: %s", error)
        return rendering.error_answer(request, 503, "no_database")

    @app.exception_handler(psycopg.OperationalError)
    @app.exception_handler(psycopg.errors.ReadOnlySqlTransaction)  # after a fail-over, for a while
    @app.exception_handler(PoolTimeout)
    def no_database(request: Request, error: psycopg.Error) -> Response:
        PULSE.trouble("database", type(error).__name__)
        log.error("the database does not answer: %s", type(error).__name__)
        nothing_was_done = isinstance(error, PoolTimeout | psycopg.errors.ReadOnlySqlTransaction)
        # A connection that is cut during COMMIT leaves unsaid whether it was one.
        is_sure = nothing_was_done or request.method == "GET"
        return rendering.error_answer(request, 503, "no_database" if is_sure else "unsure")
