"""Writes the golden vectors of the wire format anew: ``python -m tests.golden.make_wire_vectors``.

Changing them is a decision: devices in the field send what the old ones say.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from telemetry import compact, plain
from telemetry.records import (
    Acknowledgement,
    BatchKey,
    DeviceStatus,
    Estimate,
    EventKind,
    EventsBatch,
    Quantity,
    ReadingsBatch,
    RejectedBatch,
    Sample,
    VehicleEvent,
)

VECTORS = Path(__file__).with_name("wire_vectors.json")
DEVICE = "wc-golden-1"
BOOT = UUID("6f1c1f0e-7d2b-4a55-9d0e-0a5b7c3d2e1f")
START = datetime(2026, 3, 1, 6, 30, 0, 250_000, tzinfo=UTC)


def readings() -> ReadingsBatch:
    """Three samples: a signal in every row, one with gaps, one off every sensor grid, one estimate."""
    steps = (
        {"Vehicle.Speed": 0.0, "Vehicle.OBD.EngineLoad": 0.0, "Vehicle.OBD.ControlModuleVoltage": 12.304},
        {"Vehicle.Speed": 13.0, "Vehicle.OBD.ControlModuleVoltage": 13.9, "Vehicle.OBD.ShortTermFuelTrim1": -5.46875},
        {
            "Vehicle.Speed": 72.0,
            "Vehicle.OBD.EngineLoad": 45 * 100 / 255,
            "Vehicle.OBD.ControlModuleVoltage": 14.01,
            "Vehicle.Exterior.AirTemperature": -3.14159,
            "Vehicle.OBD.Status.IsMILOn": 1.0,
        },
    )
    return ReadingsBatch(
        key=BatchKey(device=DEVICE, boot=BOOT, sequence=7),
        samples=tuple(
            Sample(time=START + timedelta(milliseconds=500 * row), monotonic_ms=90_000 + 500 * row, values=values)
            for row, values in enumerate(steps)
        ),
        estimates=(
            Estimate(
                time=START,
                quantity=Quantity.PAD_WEAR,
                position="Row1.Left",
                value=61.5,
                low=55.0,
                high=68.0,
                source="estimated",
                method="pad-energy/1",
                measurements=2,
                limited_by="not_calibrated",
            ),
        ),
    )


def vectors() -> dict[str, dict[str, str]]:
    """Name -> channel and bytes (hex) of one message of each kind."""
    key = BatchKey(device=DEVICE, boot=BOOT, sequence=8)
    event = VehicleEvent(
        time=START,
        kind=EventKind.DTC_APPEARED,
        data={"code": "P0301", "ecu": "7E8", "status": "confirmed", "mil": True},
    )
    status = DeviceStatus(device=DEVICE, boot=BOOT, state="online", time=START, version="0.1.0", pending_batches=3)
    told = replace(
        status,
        oldest_pending_seconds=40,
        samples_given_up=2,
        batches_resent=1,
        certificate_ends=START + timedelta(days=30),
        planned=False,
    )
    ack = Acknowledgement(
        device=DEVICE, boot=BOOT, committed=((1, 6), (8, 8)), rejected=(RejectedBatch(sequence=7, reason="malformed"),)
    )
    return {
        # stored, not deflated: the deflated bytes are zlib's to choose, and its versions differ
        "readings compact": {"channel": "readings", "hex": compact.encode(readings(), compact.STORED).hex()},
        "readings json": {"channel": "readings", "hex": plain.encode_readings(readings()).hex()},
        "events json": {"channel": "events", "hex": plain.encode_events(EventsBatch(key=key, events=(event,))).hex()},
        "status json": {"channel": "status", "hex": plain.encode_status(status).hex()},
        "status told json": {"channel": "status", "hex": plain.encode_status(told).hex()},
        "ack json": {"channel": "acks", "hex": plain.encode_ack(ack).hex()},
    }


if __name__ == "__main__":
    former = {name: entry for name, entry in json.loads(VECTORS.read_text()).items() if name.startswith("former ")}
    deflated = {"readings deflated": {"channel": "readings", "hex": compact.encode(readings()).hex()}}
    VECTORS.write_text(json.dumps({**vectors(), **deflated, **former}, indent=1) + "\n")
