"""Errors of delivery. Their texts are stored beside the message and logged: no personal data, no secret in them."""

from rules.errors import RulesError


class DeliveryError(RulesError):
    """A message could not be delivered now; it is tried again later."""
