"""``wearcast rules workshop``: what a workshop can be booked for, and when."""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated
from uuid import UUID

import typer

from wearcast.commands.common import JsonOption, connection
from wearcast.output import print_rows

app = typer.Typer(
    no_args_is_help=True,
    help="""What a registered workshop can be booked for: its bays, opening hours, closed days, jobs and prices.

    A workshop is offered for a job once it has hours, the job, and a bay with the skill that the job needs.""",
)

WorkshopArgument = Annotated[
    UUID, typer.Argument(metavar="WORKSHOP", help="Id of the workshop (wearcast ingest workshop list).")
]


@app.command()
def bay(
    workshop_id: WorkshopArgument,
    name: Annotated[str, typer.Argument(help="Name of the bay.")],
    skill: Annotated[list[str], typer.Option(help="What can be done in it, e.g. mechanical; repeat for several.")],
) -> None:
    """Add a bay, or change the skills of the one of that name."""
    from ingest.registry import workshop_by_id
    from rules.booking.workshops import add_bay

    with connection() as conn:
        workshop_by_id(conn, workshop_id)
        print(add_bay(conn, workshop_id, name, skill))


@app.command()
def hours(
    workshop_id: WorkshopArgument,
    opening: Annotated[
        list[str], typer.Argument(metavar="HOURS…", help="1-5=08:00-18:00: Monday to Friday, on the workshop's clock.")
    ],
) -> None:
    """Replace the week's opening hours; give a day twice where it closes for lunch."""
    from ingest.registry import workshop_by_id
    from rules.booking.workshops import set_opening_hours, weekly_hours

    parsed = [_hours(text) for text in opening]
    with connection() as conn:
        workshop_by_id(conn, workshop_id)
        set_opening_hours(
            conn, workshop_id, [entry for days, opens, closes in parsed for entry in weekly_hours(days, opens, closes)]
        )
    print("The opening hours are set.")


@app.command()
def close(
    workshop_id: WorkshopArgument,
    day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="Local day, 2026-12-24.")],
) -> None:
    """Offer nothing on a day."""
    from ingest.registry import workshop_by_id
    from rules.booking.workshops import close_on

    with connection() as conn:
        workshop_by_id(conn, workshop_id)
        close_on(conn, workshop_id, date(day.year, day.month, day.day))
    print(f"Closed on {day:%Y-%m-%d}.")


@app.command()
def job(
    workshop_id: WorkshopArgument,
    name: Annotated[str, typer.Argument(help="Job, as rules name it: oil_change, brake_pads, diagnosis …")],
    skill: Annotated[str, typer.Option(help="What a bay needs for it.")],
    hours: Annotated[float, typer.Option(help="How long it takes, in hours.")],
    price: Annotated[str, typer.Option(help="What it costs: 129.00")],
    currency: Annotated[str, typer.Option(help="Three letters of ISO 4217.")] = "EUR",
) -> None:
    """Add a job with its price, or change it."""
    from ingest.registry import workshop_by_id
    from rules.booking.workshops import add_job

    with connection() as conn:
        workshop_by_id(conn, workshop_id)
        add_job(
            conn,
            workshop_id,
            name,
            skill=skill,
            duration=timedelta(hours=hours),
            price=_price(price),
            currency=currency,
        )
    print(f"{name} can be booked.")


@app.command()
def show(workshop_id: WorkshopArgument, as_json: JsonOption = False) -> None:
    """Show what the workshop can be booked for."""
    from psycopg.rows import dict_row

    from ingest.registry import workshop_by_id

    with connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        workshop_by_id(conn, workshop_id)
        rows = cursor.execute(
            """
            SELECT job, skill, (extract(epoch FROM duration) / 3600)::float8 AS hours, price, currency,
                   ARRAY(SELECT bay.name FROM bay WHERE bay.workshop_id = workshop_job.workshop_id
                         AND workshop_job.skill = ANY(bay.skills) ORDER BY 1) AS bays
            FROM workshop_job WHERE workshop_id = %(id)s ORDER BY job
            """,
            {"id": workshop_id},
        ).fetchall()
    print_rows(rows, as_json=as_json, empty="no jobs; add one with `wearcast rules workshop job`")


def _hours(text: str) -> tuple[range, time, time]:
    from rules.booking.errors import BookingError

    match = re.fullmatch(r"([1-7])(?:-([1-7]))?=([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", text)
    if match is not None:
        first, last = int(match[1]), int(match[2] or match[1])
        opens, closes = time(int(match[3]), int(match[4])), time(int(match[5]), int(match[6]))
        if first <= last and opens < closes:
            return range(first, last + 1), opens, closes
    raise BookingError(f"hours {text!r}: give days and times as 1-5=08:00-18:00 (1 is Monday)")


def _price(text: str) -> Decimal:
    from rules.booking.errors import BookingError

    try:
        price = Decimal(text)
    except InvalidOperation as error:
        raise BookingError(f"price {text!r} is no number; give it as 129.00") from error
    if not price.is_finite() or price >= 10**8:
        raise BookingError(f"price {text!r} is no price; give it as 129.00")
    return price
