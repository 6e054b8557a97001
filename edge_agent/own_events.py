"""What the dongle says of itself: that it started, what it had to give up, and what it dated wrongly and sent."""

from importlib import metadata

from edge_agent.clock import Clock
from edge_agent.outbox import GIVEN_UP, Outbox
from edge_agent.outbox_times import Published, published_data
from telemetry.records import EventKind, VehicleEvent


def given_up(outbox: Outbox) -> dict[str, int]:
    """What the outbox had no room for or its disk spoilt, by name of the counter."""
    counters = outbox.counters()
    return {name: counters[name] for name in GIVEN_UP if name in counters}


def device_started(outbox: Outbox, clock: Clock) -> VehicleEvent:
    """The agent started: version, boot, and what the outbox lost before."""
    data: dict[str, object] = {"version": metadata.version("wearcast"), "boot": str(clock.boot)}
    if (salvage := outbox.salvage) is not None:
        data["damaged_outbox"] = salvage.aside.name
        data["salvaged"] = {
            "batches": salvage.batches,
            "samples": salvage.samples,
            "lost_batches": salvage.lost_batches,
        }
    if lost := given_up(outbox):
        data["given_up"] = lost
    return VehicleEvent(time=clock.now(), kind=EventKind.DEVICE_STARTED, data=data)


def clock_corrected(published: Published, clock: Clock) -> VehicleEvent:
    """These batches were published before the clock was put right: by how much the backend has to shift them."""
    return VehicleEvent(time=clock.now(), kind=EventKind.CLOCK_CORRECTED, data=published_data(published))
