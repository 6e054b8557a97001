"""``wearcast health``: what is known of a car's parts, the same from its stored past, services an engineer enters."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from telemetry.records import Quantity, ServiceAction
from wearcast.commands.common import JsonOption, connection
from wearcast.output import print_json, print_rows, printable

if TYPE_CHECKING:
    from health.durability import Durability
    from health.estimator import Estimator
    from ingest.database import Connection
    from ingest.registry import Vehicle
    from ingest.storing.state import EstimateState
    from telemetry.records import Estimate

app = typer.Typer(
    no_args_is_help=True,
    help="""Wear of a car's parts: what is estimated and what it rests on.

    The same estimators run on the dongle and here over the stored past. A service (a part replaced or measured) is
    brought to the dongle and counts once it has taken it.""",
    short_help="What is estimated of a car's parts, replays of the past, services.",
)

VehicleArgument = Annotated[
    str, typer.Argument(metavar="VEHICLE", help="Id of the vehicle, or of the device in it.", show_default=False)
]


@app.command()
def show(vehicle: VehicleArgument, as_json: JsonOption = False) -> None:
    """Show the newest estimates with what they rest on, the battery's durability, and what was done to the car.

    Example: wearcast health show dongle-0007
    """
    from ingest import reading_store
    from ingest.outbound import services
    from portal.views.durability import vehicle_durability
    from wearcast.services import vehicle_category

    now = datetime.now(UTC)
    with connection() as conn:
        found = _vehicle(conn, vehicle)
        state = reading_store.latest_state(conn, found.id)
        done = services.services(conn, found.id)
    rows = [_row(entry) for _, entry in sorted(state.estimates.items())]
    position = vehicle_durability(state, found.in_service_since, vehicle_category(found.profile), now)
    if as_json:
        print_json({"vehicle": found.id, "estimates": rows, "durability": position, "services": done})
        return
    print_rows(rows, as_json=False, title=printable(found.label), empty="nothing is estimated yet")
    if position is not None:
        print(_durability_text(position))
    if done:
        print_rows([_service_row(entry) for entry in done], as_json=False, title="\nWork on the car")


@app.command()
def replay(
    vehicle: VehicleArgument,
    start: Annotated[
        datetime | None, typer.Option("--from", help="Begin there (UTC); without, at the first sample.")
    ] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="End there (UTC); without, now.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run fresh estimators over the stored samples and show what they give beside what the dongle gave.

    They know nothing of the time before the start, and the services of the car at the moment they were done.

    Example: wearcast health replay dongle-0007 --from 2026-03-01
    """
    from ingest import history
    from ingest.outbound import services
    from wearcast.health_replay import replay as run

    until = datetime.now(UTC) if end is None else end.replace(tzinfo=UTC)
    with connection() as conn:
        found = _vehicle(conn, vehicle)
        since = history.first_sample_time(conn, found.id) if start is None else start.replace(tzinfo=UTC)
        if since is None:
            print("no sample is stored of this vehicle")
            return
        records = [
            entry.record
            for entry in services.services(conn, found.id, limit=1000)
            if since <= entry.time < until and entry.refused_reason is None
        ]
        result = run(history.samples(conn, found.id, since, until), records, _estimators(found.profile))
        told = {_key(entry): entry for entry in history.last_estimates(conn, found.id, until)}
    rows = [_beside(entry, told.get(_key(entry))) for entry in result.estimates]
    if as_json:
        print_json(
            {
                "vehicle": found.id,
                "samples": result.samples,
                "first": result.first,
                "last": result.last,
                "estimates": rows,
                "findings": result.findings,
                "refused": result.refused,
            }
        )
        return
    title = f"{printable(found.label)}: {result.samples} samples from {result.first} to {result.last}"
    print_rows(rows, as_json=False, title=title, empty=f"nothing can be estimated from {result.samples} samples")
    for event in result.findings:
        print(printable(f"{event.time.isoformat(timespec='seconds')} {event.kind}: {event.data}"))
    for reason in result.refused:
        print(printable(f"not taken: {reason}"))


@app.command()
def service(
    vehicle: VehicleArgument,
    quantity: Annotated[Quantity, typer.Argument(help="Of which part.", show_default=False)],
    action: Annotated[
        ServiceAction,
        typer.Option(help="replaced: wear begins anew. measured: give value and unit. adjusted: pumped up, charged."),
    ],
    reason: Annotated[str, typer.Option(help="Why, in words: it is kept with the record.")],
    position: Annotated[str, typer.Option(help="Row1, Row2, or a wheel: Row1.Left; the whole car without.")] = "",
    value: Annotated[float | None, typer.Option(help="What was measured.")] = None,
    unit: Annotated[str, typer.Option(help="Its unit: mm (lining left) or percent.")] = "",
    when: Annotated[datetime | None, typer.Option(help="When it was done (UTC); now without.")] = None,
    by: Annotated[str, typer.Option(help="Who says so.")] = "",
) -> None:
    """Enter what was done to a part or measured on it; it goes to the dongle, and the estimates follow from there.

    Example: wearcast health service dongle-0007 oil_life --action replaced --reason "changed on the fleet's own lift"
    """
    from ingest.database import database_time
    from ingest.outbound import services
    from rules.services import ServiceError, Work, records

    if not reason.strip():
        raise ServiceError("--reason is empty; say in a few words why")
    work = Work(quantity=quantity, action=action, position=position, value=value, unit=unit)
    with connection() as conn:
        now = database_time(conn)
        time = now if when is None else when.replace(tzinfo=UTC)
        if time > now:
            raise ServiceError(f"{time.isoformat()} lies in the future; give the time at which it was done")
        (record,) = records([work], time=time, by="engineer", reason=reason)
        found = _vehicle(conn, vehicle)
        services.keep(conn, found.id, [record], by_role="engineer", by_name=by, now=now)
    print(record.id)


def _vehicle(conn: "Connection", text: str) -> "Vehicle":
    """By its own id or by its device's; RegistryError if there is neither."""
    from ingest.registry import device_by_id, vehicle_by_id

    try:
        vehicle_id = UUID(text)
    except ValueError:
        vehicle_id = device_by_id(conn, text).vehicle_id
    return vehicle_by_id(conn, vehicle_id)


def _estimators(profile_name: str) -> "list[Estimator]":
    from firmware_profiles.loader import load_vehicle_profile
    from health.registry import build_estimators

    profile = load_vehicle_profile(profile_name)
    return build_estimators(profile.kind, profile.health)


def _key(entry: "EstimateState | Estimate") -> tuple[str, str, str]:
    return str(entry.quantity), entry.position, entry.source


def _row(entry: "EstimateState | Estimate") -> dict[str, Any]:
    return {
        "quantity": str(entry.quantity),
        "position": entry.position,
        "value": round(entry.value, 2),
        "low": round(entry.low, 2),
        "high": round(entry.high, 2),
        "source": entry.source,
        "measurements": entry.measurements,
        "limited_by": entry.limited_by,
        "method": entry.method,
        "time": entry.time,
    }


def _beside(entry: "Estimate", dongle: "EstimateState | None") -> dict[str, Any]:
    row = _row(entry)
    del row["time"]
    told: Mapping[str, Any] = {} if dongle is None else _row(dongle)
    return row | {f"dongle_{name}": told.get(name) for name in ("value", "low", "high", "method", "time")}


def _service_row(entry: Any) -> dict[str, object]:
    measured = "" if entry.value is None else f"{entry.value:g} {entry.unit}"
    state = f"refused: {entry.refused_reason}" if entry.refused_reason is not None else entry.applied_at or "on its way"
    return {
        "time": entry.time,
        "quantity": entry.quantity,
        "position": entry.position,
        "action": entry.action,
        "measured": measured,
        "by": f"{entry.by_role} {entry.by_name}".strip(),
        "taken": printable(str(state)),
    }


def _durability_text(found: "Durability") -> str:
    stage = found.stage
    required = f"{stage.required:g} % required up to {stage.years:g} years or {stage.km:,.0f} km"
    margin = f"margin {found.margin:+.1f} points ({found.low:+.1f} to {found.high:+.1f})"
    outlook = "" if found.outlook is None else f"; {found.outlook.value:.0f} % at that end by a straight line"
    unsure = "" if found.certain else "; age or mileage is not known: a later stage may apply"
    return f"Euro 7 ({found.category}): {required}; {margin}{outlook}{unsure}"
