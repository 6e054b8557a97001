"""The database of a site: its tables on the small disk if there is one, its devices registered, its clock movable."""

import contextlib
import os
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import psycopg
from psycopg import sql

from ingest import registry
from ingest.database import connect
from tests.faults.database_clock import make_movable
from tests.faults.small_disk import SmallDisk
from wearcast.database import migrate
from wearcast.embedded.paths import service_user
from wearcast.embedded.timescaledb import Database

DATABASE: Final = "faults"


def prepare_database(server: Database, disk: SmallDisk | None, devices: Sequence[str]) -> dict[str, UUID]:
    """Make it; the vehicles by device."""
    place = sql.SQL("")
    with psycopg.connect(server.url, autocommit=True) as connection:
        if disk is not None and disk.mounted:
            tables = disk.folder / "tables"
            tables.mkdir()
            owner = service_user()
            if owner is not None:
                os.chown(tables, owner.uid, owner.gid)
            connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(tables))))
            place = sql.SQL("TABLESPACE small")
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 {}").format(sql.Identifier(DATABASE), place))
    migrate(server.url_of(DATABASE))
    vehicles: dict[str, UUID] = {}
    with contextlib.closing(connect(server.url_of(DATABASE), autocommit=True)) as connection:
        for device in devices:
            owner_of = registry.register_owner(connection, name=f"Owner of {device}")
            vehicle = registry.register_vehicle(connection, owner_id=owner_of.id, label=device, profile="generic")
            registry.register_device(connection, id=device, vehicle_id=vehicle.id, hardware="virtual")
            vehicles[device] = vehicle.id
        make_movable(connection, DATABASE)
    return vehicles
