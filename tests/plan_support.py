"""The plans PostgreSQL really ran, also of statements inside functions, as auto_explain logs them to the session."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.errors import Diagnostic

from ingest.database import Connection

GROWING = ("reading", "estimate", "rollup_hour", "rollup_day", "batch", "vehicle_event")


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One table or chunk read by a plan that ran."""

    node: str  # "Index Scan", "Seq Scan", …
    relation: str
    parent: str  # the hypertable of a chunk, else the table itself
    pages: int  # the table has, of 8 KiB, as the planner knows


def scans_of(connection: Connection, action: Callable[[], object]) -> list[Scan]:
    """Run an action on this connection, of a superuser in autocommit; what its statements read."""
    plans = _plans(connection, action, nested=True)
    parents = dict(
        connection.execute("SELECT chunk_name, hypertable_name FROM timescaledb_information.chunks").fetchall()
    )
    pages = dict(connection.execute("SELECT relname, relpages FROM pg_class WHERE relkind = 'r'").fetchall())
    return [
        Scan(
            node=node["Node Type"],
            relation=node["Relation Name"],
            parent=parents.get(node["Relation Name"], node["Relation Name"]),
            pages=pages.get(node["Relation Name"], 0),
        )
        for plan in plans
        for node in _nodes(plan)
        if "Relation Name" in node and node["Node Type"] != "ModifyTable" and node.get("Actual Loops", 0)
    ]


def pages_of(connection: Connection, action: Callable[[], object]) -> int:
    """Run an action; how many pages of 8 KiB its statements touched, in memory or not."""
    plans = _plans(connection, action, nested=False)
    return sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans)


def _plans(connection: Connection, action: Callable[[], object], *, nested: bool) -> list[Mapping[str, Any]]:
    plans: list[Mapping[str, Any]] = []

    def collect(notice: Diagnostic) -> None:
        text = notice.message_primary or ""
        if " plan:\n" in text:
            plans.append(json.loads(text.partition(" plan:\n")[2])["Plan"])

    connection.execute("LOAD 'auto_explain'")
    settings = {
        "client_min_messages": "log",
        "auto_explain.log_format": "json",
        "auto_explain.log_analyze": "on",
        "auto_explain.log_buffers": "on",
        "auto_explain.log_timing": "off",
        "auto_explain.log_nested_statements": "on" if nested else "off",
        "auto_explain.log_min_duration": "0",
    }
    for name, value in settings.items():
        connection.execute(sql.SQL("SET {} = {}").format(sql.SQL(name), value))
    connection.add_notice_handler(collect)
    try:
        action()
    finally:
        connection.remove_notice_handler(collect)
        connection.execute("SET auto_explain.log_min_duration = -1")
    return plans


def full_scans(scans: list[Scan], *, more_than_pages: int = 0) -> list[Scan]:
    """Those that read a whole table, or chunk, of the kind that grows; of a few pages that is the quickest way."""
    return [
        scan for scan in scans if scan.node == "Seq Scan" and scan.parent in GROWING and scan.pages > more_than_pages
    ]


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
