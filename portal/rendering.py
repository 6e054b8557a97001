"""Turns what a page shows into an answer: templates, cookies, redirects, error pages."""

import hashlib
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any, Final, TypeVar
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from portal.access import Session, session_cookie
from portal.guard import LANGUAGE_COOKIE, SESSION_COOKIE, Visit, visit_of
from portal.texts import LANGUAGES, catalogue, say

Answer = TypeVar("Answer", bound=Response)

API_PREFIX: Final = "/api/"
_YEAR_S: Final = 365 * 86_400
_RETRY_AFTER_S: Final = 10  # a database is started again within seconds, and asking costs little while it is not


@cache
def templates() -> Environment:
    """The page templates, loaded once; an unknown name in a template is an error, not an empty place."""
    return Environment(
        loader=PackageLoader("portal"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def style_sheet() -> tuple[bytes, str]:
    """The style sheet and the version under which browsers may keep it."""
    content = resources.files("portal").joinpath("static/style.css").read_bytes()
    return content, hashlib.blake2b(content, digest_size=6).hexdigest()


def load() -> None:
    """Read what pages are made of. Left to the first requests, every one that comes at once does it for itself."""
    catalogue()
    style_sheet()
    for name in templates().list_templates():
        templates().get_template(name)


def page(visit: Visit, template: str, *, status: int = 200, title: str, **values: Any) -> HTMLResponse:
    """A page in the visit's language. ``title`` is the text itself."""

    def t(key: str, **filled: object) -> str:
        return say(key, visit.language, **filled)

    other = next(language for language in LANGUAGES if language != visit.language)
    html = (
        templates()
        .get_template(template)
        .render(t=t, visit=visit, title=title, other_language=other, style_version=style_sheet()[1], **values)
    )
    return _with_cookies(visit, HTMLResponse(html, status_code=status))


def redirect(visit: Visit, path: str, *, notice: str | None = None, session: Session | None = None) -> RedirectResponse:
    """Send the browser on with GET; ``notice`` names a text ``notice.…`` shown there, ``session`` is a new one."""
    target = path if notice is None else f"{path}?notice={quote(notice)}"
    if session is not None:
        visit = replace(visit, session=session, session_is_new=True)
    return _with_cookies(visit, RedirectResponse(target, status_code=HTTPStatus.SEE_OTHER))


def _start_session(response: Response, visit: Visit, session: Session) -> None:
    """Give the browser a session."""
    response.set_cookie(
        SESSION_COOKIE,
        session_cookie(visit.config.secret, session),
        # Relative, because browsers have clocks of their own; the end that counts is signed into the value.
        max_age=int((session.expires_at - visit.now).total_seconds()),
        httponly=True,
        samesite="lax",
        secure=visit.config.cookies_are_secure,
    )


def error_answer(request: Request, status: int, key: str) -> Response:
    """An error in plain words, with what to do; JSON for the API."""
    visit = visit_of(request)
    title = say(f"error.{key}.title", visit.language)
    answer: Response
    if request.url.path.startswith(API_PREFIX):
        answer = JSONResponse({"error": key, "title": title}, status_code=status)
    else:
        answer = page(visit, "error.html", status=status, title=title, key=key)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = str(_RETRY_AFTER_S)
    return answer


def notice_of(request: Request) -> str | None:
    """The text key of a notice in the address, if it is one of ours."""
    name = request.query_params.get("notice", "")
    return f"notice.{name}" if name in NOTICES else None


NOTICES: Final = (
    "confirmed",
    "declined",
    "cancelled",
    "moved",
    "held",
    "hold_expired",
    "proposed_again",
    "reported",
    "service_kept",
    "suspicion_answered",
    "signed_out",
)


def _with_cookies(visit: Visit, response: Answer) -> Answer:
    if visit.session_is_new:
        _start_session(response, visit, visit.session)
    if visit.choose_language:
        response.set_cookie(
            LANGUAGE_COOKIE,
            visit.language,
            max_age=_YEAR_S,
            httponly=True,
            samesite="lax",
            secure=visit.config.cookies_are_secure,
        )
    return response
