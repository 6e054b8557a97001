"""What the rules, the booking desk and the delivery count and measure. No label names a car, an owner or a device."""

from typing import Final

from prometheus_client import Counter, Histogram

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600)  # seconds

CLAIM_AGE_SECONDS: Final = Histogram(
    "wearcast_rules_claim_age_seconds",
    "How long a vehicle was due when an engine took it: from the change of its state, or from its appointed time",
    buckets=_WAITS,
)
EVALUATION_SECONDS: Final = Histogram(
    "wearcast_rules_evaluation_seconds",
    "One vehicle judged by all rules: reading, forecasts, decisions, writing",
    buckets=_SECONDS,
)
FORECAST_SECONDS: Final = Histogram(
    "wearcast_rules_forecast_seconds", "All forecasts one vehicle's rules asked for", buckets=_SECONDS
)
EVALUATIONS: Final = Counter("wearcast_rules_evaluations", "Vehicles judged")
DECISIONS: Final = Counter("wearcast_rules_decisions", "Alerts opened, raised, closed", ["action"])
ERRORS: Final = Counter(
    "wearcast_rules_errors", "Rules that could not be computed, and vehicles that could not be judged", ["of"]
)
BOOKINGS: Final = Counter("wearcast_bookings", "Bookings that came into a state", ["state"])

DELIVERY_ATTEMPTS: Final = Counter("wearcast_delivery_attempts", "Attempts to deliver a message", ["kind"])
DELIVERY_FAILURES: Final = Counter(
    "wearcast_delivery_failures", "Attempts that failed: tried again later, or given up", ["kind", "outcome"]
)
DELIVERY_SEND_SECONDS: Final = Histogram(
    "wearcast_delivery_send_seconds", "One attempt, with the wait for the remote end", ["kind"], buckets=_SECONDS
)
DELIVERY_AGE_SECONDS: Final = Histogram(
    "wearcast_delivery_age_seconds", "From the decision to the delivery, of delivered messages", buckets=_WAITS
)
