"""Errors of the booking domain."""

from rules.errors import RulesError


class BookingError(RulesError):
    """What was asked of a booking cannot be done; the text is fit for the person who asked and says what to do."""


class UnknownBookingError(BookingError):
    """There is no such booking, alert, offer or workshop."""


class SlotTakenError(BookingError):
    """The slot went to somebody else in the meantime: choose another."""


class LinkTooOldError(BookingError):
    """A link was good once, and is no more."""
