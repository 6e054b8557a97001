"""Errors of the shared language. Each carries a short machine-readable reason beside its text."""


class TelemetryError(Exception):
    """Base of all errors of this package."""


class CatalogueError(TelemetryError):
    """The signal catalogue is wrong: the text names the entry and the nearest valid word."""


class WireError(TelemetryError):
    """A message cannot be taken as what its topic says it is.

    ``reason`` is one word of :data:`telemetry.wire.REJECT_REASONS`; it is counted and stored, the text is for people.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
