"""Errors of the agent. A failed read is a :class:`ReadFault` in the reading, never a value."""

from collections.abc import Callable


class EdgeAgentError(Exception):
    """Base of all errors of this package; the text says what is wrong and what to do."""


class SourceError(EdgeAgentError):
    """A source cannot be opened or is gone (bus down, recording unreadable). The agent backs off and opens it again.

    ``returned``: a cheap look whether what was missing may be there again (an adapter plugged in); the agent takes it
    about once a second and then waits no longer.
    """

    def __init__(self, text: str, *, returned: Callable[[], bool] | None = None) -> None:
        super().__init__(text)
        self.returned = returned


class ConfigurationError(EdgeAgentError):
    """The agent's configuration is wrong: the text names file, path in it and the nearest key."""


class OutboxError(EdgeAgentError):
    """The outbox cannot be used: in use by another agent, unreadable, of a later version, or the disk fails."""


class UplinkError(EdgeAgentError):
    """The uplink cannot work at all, e.g. a certificate that cannot be read. A broker away is not that."""


class EnrolmentError(EdgeAgentError):
    """No certificate was given, or one cannot be stored. The agent tries again."""
