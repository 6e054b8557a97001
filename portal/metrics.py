"""What the portal counts and measures. Requests go by class, the first word of their route: no address, no id."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from portal.connections import Connections

REQUESTS: Final = Counter("wearcast_portal_requests", "Requests answered", ["route", "status"])
REQUEST_SECONDS: Final = Histogram(
    "wearcast_portal_request_seconds",
    "From the request to the begin of its answer",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
POOL_CONNECTIONS: Final = Gauge("wearcast_portal_pool_connections", "Database connections of the portal", ["state"])
POOL_WAITING: Final = Gauge("wearcast_portal_pool_waiting", "Requests that wait for a database connection")


def route_class(template: str | None) -> str:
    """First word of a route's template: ``/vehicles/{id}`` is ``vehicles``; ``none`` where no route was found."""
    if template is None:
        return "none"
    return template.strip("/").partition("/")[0] or "home"


def answered(template: str | None, status: int, seconds: float) -> None:
    """A request was answered."""
    name = route_class(template)
    REQUESTS.labels(name, f"{status // 100}xx").inc()
    REQUEST_SECONDS.labels(name).observe(seconds)


def look_at_connections(connections: Connections) -> None:
    """Take over how the database connections stand, and who waits for one."""
    figures = connections.pool.get_stats()
    size, idle = figures.get("pool_size", 0), figures.get("pool_available", 0)
    POOL_CONNECTIONS.labels("idle").set(idle)
    POOL_CONNECTIONS.labels("busy").set(size - idle)
    POOL_WAITING.set(connections.waiting + figures.get("requests_waiting", 0))
