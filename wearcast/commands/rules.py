"""``wearcast rules``: what is decided about cars, what is booked, and what leaves the system."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from wearcast.commands import workshops
from wearcast.commands.common import JsonOption, connection, database_url, stop_on_signal
from wearcast.output import print_json, print_rows
from wearcast.settings import load_settings

app = typer.Typer(
    no_args_is_help=True,
    help="""Readings -> decisions -> alerts -> bookings.

    Rules are YAML with conditions in the Common Expression Language. An alert that a workshop can mend holds the best
    of three slots and asks the owner; [b]deliver[/b] tells owners and workshops.""",
    short_help="Rules, alerts, bookings and what is delivered.",
)


app.add_typer(workshops.app, name="workshop")


@app.command("list")
def list_rules(as_json: JsonOption = False) -> None:
    """List the rules of the rulebook."""
    from rules.rule import rulebook

    print_rows(
        [
            {
                "id": rule.id,
                "version": rule.version,
                "for_each": rule.for_each,
                "severity": rule.severity,
                "when": rule.when.source,
                "books": rule.job if rule.job_from is None else rule.job_from.source,
            }
            for rule in rulebook()
        ],
        as_json=as_json,
    )


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder with rules, one YAML file each.", show_default=False)],
) -> None:
    """Check rules and their examples; an error names file, place and the nearest word."""
    from rules.rule import load_rules

    for rule in load_rules(folder):
        print(f"{rule.id}: good, {len(rule.examples)} examples")


@app.command()
def backtest(
    rule_id: Annotated[str, typer.Argument(help="Rule of the rulebook.", show_default=False)],
    days: Annotated[int, typer.Option(help="How far back.", min=1)] = 90,
    as_json: JsonOption = False,
) -> None:
    """Show how often a rule would have fired over the stored history of all vehicles, and when."""
    from ingest.registry import vehicles
    from rules.backtest import backtest as over_history
    from rules.errors import RuleError
    from rules.rule import rulebook

    chosen = {rule.id: rule for rule in rulebook()}
    if rule_id not in chosen:
        raise RuleError(f"there is no rule {rule_id!r}; there are {', '.join(chosen)}")
    now = datetime.now(UTC)
    with connection() as conn:
        known = {vehicle.id: vehicle.label for vehicle in vehicles(conn)}
        firings = over_history(conn, chosen[rule_id], list(known), now - timedelta(days=days), now, timedelta(days=1))
    print_rows(
        [
            {
                "vehicle": known[firing.vehicle_id],
                "subject": firing.subject,
                "opened": firing.opened_at,
                "closed": firing.closed_at,
                "severity": firing.severity,
            }
            for firing in firings
        ],
        as_json=as_json,
        empty="it would not have fired",
    )


@app.command()
def run() -> None:
    """Run the rules engine until it is stopped. Any number may run at once."""
    from rules.engine import EngineConfig, run_engine
    from wearcast.watch.observed import observed

    settings = load_settings()
    with stop_on_signal() as stop, database_url(settings) as url, observed("rules", settings, url):
        run_engine(EngineConfig(database_url=url), stop)


@app.command()
def deliver() -> None:
    """Deliver owner messages, workshop webhooks and invitations until it is stopped."""
    from rules.delivery.worker import run_delivery
    from wearcast.services import delivery_config
    from wearcast.watch.observed import observed

    settings = load_settings()
    with stop_on_signal() as stop, database_url(settings) as url, observed("delivery", settings, url):
        run_delivery(delivery_config(settings, url), stop)


@app.command()
def alerts(
    open_only: Annotated[bool, typer.Option("--open", help="Only those still open.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List alerts, newest first."""
    from psycopg.rows import dict_row

    with connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """
            SELECT alert.id, vehicle.label AS vehicle, rule_id AS rule, subject, severity, title_en AS title,
                   opened_at, closed_at
            FROM alert JOIN vehicle ON vehicle.id = vehicle_id
            WHERE NOT %s OR closed_at IS NULL ORDER BY opened_at DESC
            """,
            (open_only,),
        ).fetchall()
    print_rows(rows, as_json=as_json, empty="no alerts")


@app.command()
def bookings(as_json: JsonOption = False) -> None:
    """List bookings, the next one first."""
    from psycopg.rows import dict_row

    with connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """
            SELECT booking.id, vehicle.label AS vehicle, workshop.name AS workshop, job, lower(period) AS starts,
                   price, currency, state
            FROM booking JOIN vehicle ON vehicle.id = vehicle_id JOIN workshop ON workshop.id = workshop_id
            ORDER BY lower(period)
            """
        ).fetchall()
    print_rows(rows, as_json=as_json, empty="no bookings")


def why(
    alert: Annotated[UUID, typer.Argument(help="Id of the alert (wearcast rules alerts).", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Explain an alert: the rule, its condition, and the values it saw."""
    from rules.alerts import explain

    with connection() as conn:
        found = explain(conn, alert)
    if as_json:
        print_json(found)
        return
    print(
        f"{found.alert.title_en} ({found.alert.severity}), opened {found.alert.opened_at.isoformat(timespec='seconds')}"
    )
    in_use = "the version in use" if found.rule_is_current else "a version no longer in use"
    print(f"Rule {found.alert.rule_id} {found.alert.rule_version}, {in_use}")
    print(f"When {found.condition}" + (f", limit {found.limit:g}" if found.limit is not None else ""))
    if found.clear:
        print(f"Clears when {found.clear}")
    if found.for_s and found.held_since is not None:
        print(f"It had to hold for {found.for_s:g} s, and held since {found.held_since.isoformat(timespec='seconds')}")
    print_rows(
        [
            {
                "input": entry.name,
                "measured": entry.time,
                "source": entry.source,
                "method": entry.method,
                **entry.fields,
            }
            for entry in found.inputs
        ],
        as_json=False,
        title="What it saw",
    )
    for rise in found.rises:
        print(f"Raised from {rise.before} to {rise.after} at {rise.time.isoformat(timespec='seconds')}")
        print_rows(
            [{"input": entry.name, "measured": entry.time, **entry.fields} for entry in rise.inputs],
            as_json=False,
            title="What it saw then",
        )
