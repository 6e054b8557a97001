"""Errors of this package. Each names the texts (``portal/texts.yaml``) a person reads and the HTTP status."""


class PortalError(Exception):
    """Base of all errors of this package."""


class PortalConfigError(PortalError):
    """The portal is not set up right, or a route was written without a guard: it does not start."""


class PageError(PortalError):
    """What ends in an error page. ``key`` names its title and text: ``error.{key}.title``, ``error.{key}.text``."""

    status = 500
    key = "broken"


class NotFoundError(PageError):
    """There is no such thing, or it belongs to somebody else: both look the same."""

    status = 404
    key = "not_found"


class SignInNeededError(PageError):
    """Nobody is signed in."""

    status = 401
    key = "sign_in"


class WrongRoleError(PageError):
    """Signed in, but this page is made for others."""

    status = 403
    key = "wrong_role"


class FormExpiredError(PageError):
    """A form without the token of this session: the session changed, or another site sent it."""

    status = 403
    key = "form"


class LinkInvalidError(PageError):
    """A link is forged or damaged."""

    status = 404
    key = "link_invalid"


class LinkExpiredError(PageError):
    """A link was good once."""

    status = 410
    key = "link_expired"


class InputError(PageError):
    """A form or address holds something that cannot be understood."""

    status = 400
    key = "input"


class DatabaseAwayError(PageError):
    """The database is known to be away."""

    status = 503
    key = "no_database"
