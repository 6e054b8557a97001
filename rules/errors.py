"""Errors of this package. Each text says what is wrong and what to do."""


class RulesError(Exception):
    """Base of all errors of this package."""


class RuleError(RulesError):
    """A rule file (or the table of trouble codes) is wrong: the text names file, path and the nearest valid word."""


class EvaluationError(RulesError):
    """An expression could not be computed from the values it was given: a fault of the rule or of the data."""


class StateError(RulesError):
    """The stored state of a vehicle or rule is not what it must be: bad data, of this vehicle alone."""


class AlertNotFoundError(RulesError):
    """There is no alert of that id."""


class TraceNotFoundError(RulesError):
    """Nothing is known of a trace, an alert or a booking."""
