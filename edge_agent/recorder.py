"""Readings -> samples, events, estimates -> outbox: what is accepted, and what a restart goes on from.

Each step is one transaction, so that a kill between two steps neither loses nor doubles anything:

* accept: the sample, the events it led to, what is known of the car, and how far a replay came;
* seal: the batch made of the accepted samples, the estimates in it, and the states of the estimators after it.

After a restart the estimators stand where the last sealed batch left them. They are fed the samples that were
accepted since, and those are sealed as a last batch of the former boot.
"""

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from importlib import metadata
from typing import Final, cast

import msgspec

from edge_agent.batcher import Batcher, EstimateSchedule
from edge_agent.clock import Clock, restamped
from edge_agent.config import AgentConfig
from edge_agent.outbox import GIVEN_UP, Outbox
from edge_agent.sources.base import ReadFault, Reading
from edge_agent.vehicle_watch import VehicleWatch
from health.errors import HealthError
from health.estimator import Estimator
from telemetry.catalogue import catalogue
from telemetry.records import (
    BatchKey,
    Estimate,
    EventKind,
    EventsBatch,
    ReadingsBatch,
    Sample,
    VehicleEvent,
    ms_from_utc,
    utc_from_ms,
)
from telemetry.wire import encode_events, encode_readings

log = logging.getLogger(__name__)

_MAX_FAULTS_TOLD: Final = 200  # distinct requests named in the log; a failing sensor fails every second


class Recorder:
    """Accepts readings and seals batches. Constructing it takes up what a former run left."""

    def __init__(self, *, config: AgentConfig, estimators: Sequence[Estimator], outbox: Outbox, clock: Clock) -> None:
        self._config = config
        self._estimators = estimators
        self._outbox = outbox
        self._clock = clock
        self._batcher = Batcher(samples=config.batch_samples, seconds=config.batch_seconds)
        self._replay_key = f"replay.{config.source.identity}"
        self._started_ms = clock.monotonic_ms()
        self._first_recorded: datetime | None = None
        self._last_sample: datetime | None = None
        self._estimated = True  # no sample since the last estimates
        self._position: int | None = None  # how far a replay came
        self._told: set[str] = set()
        self._watch = self._restore()
        self._seal_leftovers()
        outbox.begin_boot(clock.boot)
        with outbox.transaction(durable=True):
            self._seal_events((self._device_started(),))

    @property
    def replayed(self) -> int:
        """How many readings of this recording were accepted before."""
        return cast("int", self._outbox.state(self._replay_key) or 0)

    def accept(self, reading: Reading, *, position: int | None = None) -> bool:
        """Keep a reading; False if nothing was in it. ``position``: how far the replay came with it."""
        recorded = reading.time is not None
        moment = reading.time or self._clock.now()
        values = self._plausible(reading)
        events = self._watch.observe(replace(reading, values=values), moment)
        if not values and not events and position in {None, self._position}:
            return bool(reading.faults)
        sample = Sample(time=moment, monotonic_ms=self._monotonic_ms(reading.time), values=values)
        # A recording can be read again, a car cannot: only the car's samples wait for the disk one by one.
        with self._outbox.transaction(durable=not recorded or bool(events)):
            if values:
                self._outbox.add_sample(self._clock.boot, sample, recorded=recorded)
            self._seal_events(events)
            self._outbox.put_state("vehicle", self._watch.state())
            if position is not None:
                self._outbox.put_state(self._replay_key, position)
        self._position = position
        if values:
            self._batcher.added(self._clock.monotonic_ms())
            self._feed(sample)
        return True

    def read_by(self, estimators: Sequence[Estimator], *, other_car: bool) -> None:
        """Go on with these estimators: the car was recognised. What was learned of another car is forgotten."""
        if self._batcher.waiting:
            self._seal()
        if not other_car:
            self._estimators = estimators
            self._restore_estimators()
            return
        with self._outbox.transaction(durable=True):
            for former in self._estimators:
                self._outbox.put_state(f"estimator.{former.name}", None)
            self._estimators = estimators
            self._save_estimators()
        self._last_sample, self._estimated = None, True

    def tick(self) -> None:
        """Seal what is due; end a live trip of which nothing more is heard."""
        if self._batcher.due(self._clock.monotonic_ms()):
            self._seal()
        if not self._config.source.recorded:
            self._note(self._watch.expire(self._clock.now()))

    def finish(self, *, ended: bool) -> None:
        """Seal what is left with final estimates; ``ended``: the recording is over, and a trip in it with it."""
        if ended:
            self._note(self._watch.finish())
        if self._batcher.waiting or not self._estimated:
            self._seal(final=True)

    def _seal(self, *, final: bool = False) -> None:
        now, monotonic_ms = self._clock.now(), self._clock.monotonic_ms()
        samples = tuple(
            entry.sample if entry.recorded else restamped(entry.sample, now=now, monotonic_ms=monotonic_ms)
            for entry in self._outbox.pending_samples()
        )
        estimates: tuple[Estimate, ...] = ()
        if self._last_sample is not None and (final or self._schedule.due(self._last_sample)):
            estimates = tuple(
                estimate for estimator in self._estimators for estimate in estimator.estimates(self._last_sample)
            )
            self._schedule.made(self._last_sample)
            self._estimated = True
        with self._outbox.transaction(durable=True):
            if samples or estimates:
                self._outbox.add_batch(
                    self._clock.boot, "readings", self._encoder(samples, estimates), now, items=len(samples)
                )
            self._outbox.clear_pending(self._clock.boot)
            self._save_estimators()
        self._batcher.sealed()

    def _seal_leftovers(self) -> None:
        """Samples a former run accepted and did not seal: a batch of that boot, and food for the estimators."""
        pending = self._outbox.pending_samples()
        if not pending:
            return
        log.info("sealing %d samples that a former run accepted", len(pending))
        with self._outbox.transaction(durable=True):
            for boot, entries in itertools.groupby(pending, key=lambda entry: entry.boot):
                samples = [_of_this_catalogue(entry.sample) for entry in entries]
                for start in range(0, len(samples), self._config.batch_samples):
                    part = tuple(samples[start : start + self._config.batch_samples])
                    self._outbox.add_batch(
                        boot, "readings", self._encoder(part, ()), self._clock.now(), items=len(part)
                    )
                self._outbox.clear_pending(boot)
                for sample in samples:
                    self._feed(sample)
            self._save_estimators()

    def _seal_events(self, events: tuple[VehicleEvent, ...]) -> None:
        """Events do not wait for others: a batch of their own, at once. Within the caller's transaction."""
        if not events:
            return

        def encode(key: BatchKey) -> bytes:
            return encode_events(EventsBatch(key=key, events=events))

        self._outbox.add_batch(self._clock.boot, "events", encode, self._clock.now(), items=len(events))

    def _note(self, events: tuple[VehicleEvent, ...]) -> None:
        if events:
            with self._outbox.transaction(durable=True):
                self._seal_events(events)
                self._outbox.put_state("vehicle", self._watch.state())

    def _encoder(self, samples: tuple[Sample, ...], estimates: tuple[Estimate, ...]) -> Callable[[BatchKey], bytes]:
        def encode(key: BatchKey) -> bytes:
            return encode_readings(ReadingsBatch(key=key, samples=samples, estimates=estimates), self._config.form)

        return encode

    def _feed(self, sample: Sample) -> None:
        for estimator in self._estimators:
            estimator.update(sample)
        self._last_sample = sample.time
        self._estimated = not self._estimators

    def _restore_estimators(self) -> None:
        for estimator in self._estimators:
            state = self._outbox.state(f"estimator.{estimator.name}")
            if state is None:
                continue
            try:
                estimator.restore(cast("Mapping[str, object]", state))
            except HealthError:
                log.exception("the state of %s cannot be taken up; it starts anew", estimator.name)

    def _restore(self) -> VehicleWatch:
        self._restore_estimators()
        last = cast("int | None", self._outbox.state("estimated_until"))
        self._schedule = EstimateSchedule(
            seconds=self._config.estimate_seconds, last=None if last is None else utc_from_ms(last)
        )
        gap = self._config.trip_gap_seconds
        try:
            return VehicleWatch(trip_gap_seconds=gap, state=self._outbox.state("vehicle"))
        except msgspec.ValidationError:
            log.exception("what was known of the car cannot be taken up; its trouble codes will be told again")
            return VehicleWatch(trip_gap_seconds=gap)

    def _save_estimators(self) -> None:
        for estimator in self._estimators:
            self._outbox.put_state(f"estimator.{estimator.name}", estimator.state())
        if self._schedule.last is not None:
            self._outbox.put_state("estimated_until", ms_from_utc(self._schedule.last))

    def _device_started(self) -> VehicleEvent:
        data: dict[str, object] = {"version": metadata.version("wearcast"), "boot": str(self._clock.boot)}
        if self._outbox.quarantined is not None:
            data["damaged_outbox"] = self._outbox.quarantined.name
        counters = self._outbox.counters()
        if lost := {name: counters[name] for name in GIVEN_UP if name in counters}:
            data["given_up"] = lost
        return VehicleEvent(time=self._clock.now(), kind=EventKind.DEVICE_STARTED, data=data)

    def _monotonic_ms(self, recorded: datetime | None) -> int:
        """Of now; for a recording the distances between its samples, counted from this start."""
        if recorded is None:
            return self._clock.monotonic_ms()
        if self._first_recorded is None:
            self._first_recorded = recorded
        return self._started_ms + round((recorded - self._first_recorded) / timedelta(milliseconds=1))

    def _plausible(self, reading: Reading) -> dict[str, float]:
        """The values that can be true of a car; the others are faults of reading, told like those of the source."""
        values: dict[str, float] = {}
        faults = list(reading.faults)
        for path, value in reading.values.items():
            signal = catalogue().by_path(path)
            if signal.accepts(value):
                values[path] = value
            else:
                reason = f"{value} {signal.unit.key} is outside [{signal.minimum:g}, {signal.maximum:g}]"
                faults.append(ReadFault(request=path, reason=reason))
        for fault in faults:
            if fault.request not in self._told and len(self._told) < _MAX_FAULTS_TOLD:
                self._told.add(fault.request)
                log.warning(
                    "a read failed, further ones of this request are not told: %s: %s", fault.request, fault.reason
                )
        return values


def _of_this_catalogue(sample: Sample) -> Sample:
    """A sample of a former run without what this version's catalogue refuses: an update must not stop the agent."""
    known = catalogue()
    values = {
        path: value for path, value in sample.values.items() if path in known and known.by_path(path).accepts(value)
    }
    if len(values) < len(sample.values):
        log.warning("left out of a former run's sample: %s", ", ".join(sorted(sample.values.keys() - values.keys())))
    return replace(sample, values=values)
