"""Faults of a database that runs and does not take anything."""

from typing import Final

from tests.faults.fault import DATABASE_TARGETS, Fault
from tests.faults.prepared import DATABASE

# The administrator's own are in another database.
_END_SESSIONS: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname NOT IN ('wearcast')"


class DatabaseReadOnly(Fault):
    """For every session at once, as an administrator may set it."""

    kind = "database read-only"
    repeats_messages = True
    targets = DATABASE_TARGETS

    def inject(self) -> None:
        self.site.as_administrator("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")

    def heal(self) -> None:
        self.site.as_administrator(
            "SET default_transaction_read_only = off",
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        )


class SessionsReadOnly(Fault):
    """Sessions opened meanwhile stay read-only when the database no longer is."""

    kind = "sessions opened read-only"
    repeats_messages = True
    targets = DATABASE_TARGETS
    hold_seconds = (0.5, 1.5)  # long enough for a worker to open one

    def inject(self) -> None:
        self.site.as_administrator(
            f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on",
            _END_SESSIONS,
        )

    def heal(self) -> None:
        self.site.as_administrator(f"ALTER DATABASE {DATABASE} RESET default_transaction_read_only")


class DatabaseFull(Fault):
    """No block left where tables and indexes are; the log is elsewhere and has room."""

    kind = "database full"
    repeats_messages = True
    targets = DATABASE_TARGETS
    hold_seconds = (0.5, 1.5)

    def inject(self) -> None:
        assert self.site.disk is not None
        self.site.disk.fill()

    def heal(self) -> None:
        assert self.site.disk is not None
        self.site.disk.empty()


class ConnectionsEnded(Fault):
    """Every session ended by the server, as at a fail-over."""

    kind = "sessions ended by the database"
    repeats_messages = True
    targets = DATABASE_TARGETS
    hold_seconds = (0.0, 0.0)

    def inject(self) -> None:
        self.site.as_administrator(_END_SESSIONS)
