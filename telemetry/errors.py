"""Errors of the shared language. Each carries a short machine-readable reason beside its text."""

from telemetry.records import BatchKey


class TelemetryError(Exception):
    """Base of all errors of this package."""


class CatalogueError(TelemetryError):
    """The signal catalogue is wrong: the text names the entry and the nearest valid word."""


class TroubleCodeDataError(TelemetryError):
    """A file of trouble code meanings is wrong: the text names the file and the entry."""


class WireError(TelemetryError):
    """A message cannot be taken as what its topic says it is.

    ``reason`` is one word of :data:`telemetry.wire.REJECT_REASONS`; it is counted and stored, the text is for people.
    ``key`` is the batch's key where the envelope could be read: then its sender can be told.
    """

    def __init__(self, reason: str, text: str, key: BatchKey | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.key = key
