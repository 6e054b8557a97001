"""How long a batch takes at a steady rate, and what a worker does with more than it can take."""

import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.ingest.corpus import Fleet
from tests.benchmarks.ingest.site import Acknowledged, Site, mqtt, publish, resident_mb
from wearcast.embedded.processes import ManagedProcess

_SAMPLE_SECONDS: Final = 0.05
_FROZEN_SECONDS: Final = 10.0
_TICK_SECONDS: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Latency:
    """From the device's publish to its acknowledgement, which comes after the commit. Seconds."""

    median: float
    p99: float
    reached: float  # messages a second that were really published


def latency(place: Site, fleet: Fleet, per_second: float) -> Latency:
    """Publish the fleet's batches at a steady rate, whatever comes back."""
    place.empty()
    with (
        place.worker(),
        mqtt(place.broker, "bench-devices") as devices,
        mqtt(place.broker, "bench-acks") as listener,
    ):
        heard = Acknowledged(listener, fleet.all_batches)
        sent: list[float] = []
        begun = time.perf_counter()
        for number, (topic, payload) in enumerate(fleet.compact):
            due = begun + number / per_second
            if due - time.perf_counter() > _TICK_SECONDS:  # several at a time, as sleeping is coarse
                time.sleep(due - time.perf_counter())
            sent.append(time.perf_counter())
            devices.publish(topic, payload, qos=1)
        seconds = time.perf_counter() - begun
        heard.wait()
    taken = sorted(heard.at[batch.key] - moment for batch, moment in zip(fleet.all_batches, sent, strict=True))
    return Latency(median=statistics.median(taken), p99=taken[int(0.99 * len(taken))], reached=fleet.messages / seconds)


@dataclass(frozen=True, kw_only=True)
class Overload:
    """Resident memory of the worker, MB."""

    before: float
    most: float


def overload(place: Site, fleet: Fleet) -> Overload:
    """Everything is published at once while the database stands still (SIGSTOP); then it goes on."""
    place.empty()
    with place.worker() as worker:
        _first_batches(place, fleet)
        before = resident_mb(worker.pid)
        with (
            _watched(worker) as seen,
            mqtt(place.broker, "bench-devices") as devices,
            mqtt(place.broker, "bench-acks") as listener,
        ):
            heard = Acknowledged(listener, fleet.all_batches[fleet.devices :])
            sessions = place.connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'wearcast-bench%'"
            ).fetchall()
            for (pid,) in sessions:
                os.kill(pid, signal.SIGSTOP)
            try:
                publish(devices, fleet.compact[fleet.devices :])
                time.sleep(_FROZEN_SECONDS)
            finally:
                for (pid,) in sessions:
                    os.kill(pid, signal.SIGCONT)
            heard.wait()
        assert place.stored_values(fleet) == fleet.values
    return Overload(before=before, most=max(seen))


def _first_batches(place: Site, fleet: Fleet) -> None:
    """One batch of each device, so that connections and caches are there before memory is looked at."""
    with mqtt(place.broker, "bench-devices") as devices, mqtt(place.broker, "bench-acks") as listener:
        heard = Acknowledged(listener, fleet.all_batches[: fleet.devices])
        publish(devices, fleet.compact[: fleet.devices])
        heard.wait()


@contextmanager
def _watched(process: ManagedProcess) -> Iterator[list[float]]:
    """Resident memory of the process, looked at again and again for the time of the block. MB."""
    seen = [resident_mb(process.pid)]
    over = threading.Event()

    def look() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            seen.append(resident_mb(process.pid))

    watching = threading.Thread(target=look, name="memory")
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()
