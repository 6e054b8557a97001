"""Errors of delivery. Their texts are stored beside the message and logged: no personal data, no secret in them."""

from rules.errors import RulesError


class DeliveryError(RulesError):
    """A message could not be delivered now; it is tried again later."""


class UndeliverableError(DeliveryError):
    """A message cannot be delivered, now or later: there is nobody to take it."""


class DeliveryConfigurationError(RulesError):
    """The settings of delivery are wrong: the text says which and what they should be."""
