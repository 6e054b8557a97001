"""Where data about a person is: every table with a column that leads to one. Export and erasure go by this list.

A test compares it with the database: a table that leads to a person and is not here fails it.
"""

from dataclasses import dataclass
from typing import Final, Literal, LiteralString

Link = Literal["owner", "vehicle", "device", "alert", "event"]

# Columns that lead to a person, wherever they stand.
LINKS: Final[dict[str, Link]] = {
    "owner_id": "owner",
    "vehicle_id": "vehicle",
    "device_id": "device",
    "alert_id": "alert",
    "event_id": "event",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """A table, and the column by which its rows belong to a person."""

    table: LiteralString
    column: LiteralString
    link: Link
    on_erasure: Literal["deleted", "kept"]
    exported: bool
    time: LiteralString | None = None  # a hypertable's time column: goes chunk by chunk, and into CSV
    why: str  # what it is, and why it is kept or not given out where that is so


# Children before what they refer to: rows go in this order.
PLACES: Final[tuple[Place, ...]] = (
    Place(
        table="suspicion_answer",
        column="event_id",
        link="event",
        on_erasure="deleted",
        exported=True,
        why="what the owner said to a suspected service",
    ),
    Place(
        table="service_record",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=True,
        why="work on the car, and who told of it",
    ),
    Place(
        table="vehicle_event",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=True,
        why="trips, charges, trouble codes, the VIN the dongle read",
    ),
    Place(
        table="vehicle_state",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=True,
        why="the latest of everything",
    ),
    Place(
        table="reading",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=True,
        time="time",
        why="what the car measured",
    ),
    Place(
        table="estimate",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=True,
        time="time",
        why="health values",
    ),
    Place(
        table="rollup_hour",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=True,
        time="bucket",
        why="readings by the hour",
    ),
    Place(
        table="rollup_day",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=True,
        time="bucket",
        why="readings by the day",
    ),
    Place(
        table="rollup_pending",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=False,
        why="hours to be rolled up: bookkeeping",
    ),
    Place(
        table="device_command",
        column="device_id",
        link="device",
        on_erasure="deleted",
        exported=True,
        why="what engineers asked the dongle, and its answers",
    ),
    Place(
        table="operator_grant",
        column="device_id",
        link="device",
        on_erasure="deleted",
        exported=False,
        why="who may ask this dongle: names of staff, not the owner's",
    ),
    Place(
        table="enrolment_token",
        column="device_id",
        link="device",
        on_erasure="deleted",
        exported=False,
        why="credentials of the dongle",
    ),
    Place(
        table="device_certificate",
        column="device_id",
        link="device",
        on_erasure="kept",
        exported=False,
        why="revocation lists need it until it ends; the id leads to nobody any more",
    ),
    Place(
        table="device_block",
        column="device_id",
        link="device",
        on_erasure="deleted",
        exported=False,
        why="a dongle cut off for what it sent: defence of the broker",
    ),
    Place(
        table="device_allowance",
        column="device_id",
        link="device",
        on_erasure="deleted",
        exported=False,
        why="how much a dongle may still send, for the last hour: defence of the store",
    ),
    Place(
        table="device_status",
        column="device_id",
        link="device",
        on_erasure="deleted",
        exported=True,
        why="whether the dongle is online",
    ),
    Place(
        table="batch",
        column="device_id",
        link="device",
        on_erasure="deleted",
        exported=True,
        why="when which batch of data came",
    ),
    Place(
        table="device",
        column="vehicle_id",
        link="vehicle",
        on_erasure="deleted",
        exported=True,
        why="the dongle in the car",
    ),
    Place(
        table="personal_unsealed",
        column="owner_id",
        link="owner",
        on_erasure="deleted",
        exported=False,
        why="empty once `wearcast db migrate` has run",
    ),
    Place(
        table="vehicle",
        column="owner_id",
        link="owner",
        on_erasure="deleted",
        exported=True,
        why="the car, its VIN sealed",
    ),
    Place(
        table="personal_key",
        column="owner_id",
        link="owner",
        on_erasure="deleted",
        exported=False,
        why="the person's data key: without it what is sealed, here or in a backup, stays sealed",
    ),
    Place(
        table="personal_access",
        column="owner_id",
        link="owner",
        on_erasure="kept",
        exported=True,
        why="who saw what: evidence, for three years; the number leads to nobody any more",
    ),
    Place(
        table="personal_erasure",
        column="owner_id",
        link="owner",
        on_erasure="kept",
        exported=False,
        why="the list of erasures, by numbers that lead to nobody",
    ),
    Place(
        table="erased_device",
        column="device_id",
        link="device",
        on_erasure="kept",
        exported=False,
        why="so that what the dongle still sends is refused and not kept",
    ),
    Place(
        table="device_wipe",
        column="device_id",
        link="device",
        on_erasure="kept",
        exported=False,
        why="whether the dongle has emptied itself; the id leads to nobody any more",
    ),
)
