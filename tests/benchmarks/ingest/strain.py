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
    """Largest resident memory of the worker, MB."""

    at_work: float  # with as much as it can store
    overloaded: float


def overload(place: Site, fleet: Fleet) -> Overload:
    """One half is taken as it comes; the other is published while the database stands still (SIGSTOP)."""
    place.empty()
    half = fleet.messages // 2
    with (
        place.worker() as worker,
        mqtt(place.broker, "bench-devices") as devices,
        mqtt(place.broker, "bench-acks") as listener,
    ):
        heard = Acknowledged(listener, fleet.all_batches[:half])
        with _watched(worker) as at_work:
            publish(devices, fleet.compact[:half])
            heard.wait()
        heard = Acknowledged(listener, fleet.all_batches[half:])
        sessions = place.connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'wearcast-bench%'"
        ).fetchall()
        for (pid,) in sessions:
            os.kill(pid, signal.SIGSTOP)
        with _watched(worker) as overloaded:
            try:
                publish(devices, fleet.compact[half:])
                time.sleep(_FROZEN_SECONDS)
            finally:
                for (pid,) in sessions:
                    os.kill(pid, signal.SIGCONT)
            heard.wait()
        assert place.stored_values(fleet) == fleet.values
    return Overload(at_work=max(at_work), overloaded=max(overloaded))


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
