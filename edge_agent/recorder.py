"""Readings -> samples, events, estimates -> outbox: what is accepted, and what a restart goes on from.

Each step is one transaction, so that a kill between two steps neither loses nor doubles anything:

* accept: some samples (those of a second, to spare the flash), the events they led to, how far a replay came;
* seal: the batch made of the accepted samples, the estimates in it, what the estimators found, and their states after
  it;
* service: a seal, with the event that says which record of a workshop's or an owner's the estimators took.

A sample counts as accepted once its transaction is on the disk: a power cut costs what was read since, at most
``flush_seconds`` and one poll. After a restart the estimators stand where the last sealed batch left them. They are fed
the samples that were accepted since, and those are sealed as a batch of their own.

Times are put right here: of samples when they are sealed, of sealed batches and estimators when the clock takes a step.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, cast

import msgspec

from edge_agent.batcher import Batcher, EstimateSchedule
from edge_agent.clock import STEP_MS, Clock, restamped
from edge_agent.config import AgentConfig
from edge_agent.errors import OutboxError
from edge_agent.outbox import Outbox
from edge_agent.outbox_times import Published
from edge_agent.own_events import clock_corrected, device_started, given_up
from edge_agent.plausible import Plausible
from edge_agent.sample_time import SampleTimes
from edge_agent.services import KnownServices, Serviced, tell
from edge_agent.sources.base import Reading
from edge_agent.vehicle_watch import VehicleWatch
from health.errors import HealthError
from health.estimator import Estimator
from health.retime import retimed
from telemetry.records import Estimate, EventKind, Sample, ServiceRecord, VehicleEvent, ms_from_utc, utc_from_ms
from telemetry.service import reset_data

log = logging.getLogger(__name__)

FIRST_BATCH_SECONDS: Final = 0.1  # of a live car: what its first poll gives is sent at the end of the next one

_TELL_LOSSES_MS: Final = 86_400_000  # what had to be given up is told at most once a day while it goes on


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the clock said when the last batch was sealed."""

    time_ms: int  # since 1970
    offset_ms: int  # wall time at CLOCK_BOOTTIME 0
    kernel: str  # start of the machine


class Recorder:
    """Accepts readings and seals batches. Constructing it takes up what a former run left."""

    def __init__(self, *, config: AgentConfig, estimators: Sequence[Estimator], outbox: Outbox, clock: Clock) -> None:
        self._config = config
        self._estimators = estimators
        self._outbox = outbox
        self._clock = clock
        self._batcher = Batcher(
            samples=config.batch_samples,
            seconds=config.batch_seconds,
            first_seconds=None if config.source.recorded else min(FIRST_BATCH_SECONDS, config.batch_seconds),
        )
        self._replay_key = f"replay.{config.source.identity}"
        self._times = SampleTimes(clock)
        self._plausible = Plausible()
        self._services = KnownServices(outbox)
        self._last_sample: datetime | None = None
        self._estimated = True  # no sample since the last estimates
        self._position: int | None = None  # how far a replay came
        self._accepting: list[Sample] = []  # read, and not yet on the disk
        self._accepting_since_ms = 0  # monotonic, of the first of them
        self._recorded = config.source.recorded
        self._watch = self._restore()
        outbox.begin_boot(clock.boot, clock.kernel_boot)
        self._losses = given_up(self._outbox)
        self._losses_told_ms: int | None = None
        self._take_up()
        with outbox.transaction(durable=True):
            self._seal_events((device_started(outbox, clock),))

    @property
    def waits_for_disk(self) -> bool:
        """Whether something was read that does not count as accepted yet."""
        return bool(self._accepting)

    @property
    def replayed(self) -> int:
        """How many readings of this recording were accepted before."""
        return cast("int", self._outbox.state(self._replay_key) or 0)

    def accept(self, reading: Reading, *, position: int | None = None) -> bool:
        """Take a reading; False if nothing was in it. ``position``: how far the replay came with it.

        It is on the disk at once where it leads to an event, otherwise within ``flush_seconds`` (:meth:`tick`).
        """
        self._follow_clock()
        moment, monotonic_ms = self._times.of(reading.time, reading.age_s)
        values = self._plausible.values(reading)
        events = self._watch.observe(replace(reading, values=values), moment)
        if not values and not events and position in {None, self._position}:
            return bool(reading.faults)
        self._position = position
        if values:
            now_ms = self._clock.monotonic_ms()
            if not self._accepting:
                self._accepting_since_ms = now_ms
            sample = Sample(time=moment, monotonic_ms=monotonic_ms, values=values)
            self._accepting.append(sample)
            self._batcher.added(now_ms)
            self._feed(sample)
        if events or self._flush_due():
            self._flush(events)
        return True

    def read_by(self, estimators: Sequence[Estimator], *, other_car: bool) -> None:
        """Go on with these estimators: the car was recognised. What was learned of another car is forgotten."""
        if self._batcher.waiting:
            self._seal()
        if not other_car:
            self._estimators = estimators
            self._restore_estimators()
            if not self._recorded:
                self._put_right(self._offset_ms)
            return
        with self._outbox.transaction(durable=True):
            for former in self._estimators:
                self._outbox.put_state(f"estimator.{former.name}", None)
            self._estimators = estimators
            self._save_estimators()
        self._last_sample, self._estimated = None, True

    def serviced(self, record: ServiceRecord) -> Serviced:
        """Tell the estimators what a person did; applied means that it is on the disk. A record counts once, by its id.

        It is estimated anew at once: whoever had the part replaced wants to see it.
        """
        if record.id in self._services:
            return Serviced(state="applied")
        self._follow_clock()
        if self._clock.unsure:
            return Serviced(state="later", reason="this device does not know the time yet")
        now = self._clock.now()
        answer = tell(self._estimators, record, now)
        if answer.state == "applied":
            if self._last_sample is not None and not self._recorded:
                self._last_sample = max(self._last_sample, now)
            with self._outbox.transaction(durable=True):
                self._services.remember(record.id)
                self._seal_events((VehicleEvent(time=now, kind=EventKind.SERVICE_RESET, data=reset_data(record)),))
                self._seal(final=True)
        return answer

    def tick(self) -> None:
        """Write what is due to be on the disk; seal what is due; end a live trip of which nothing more is heard."""
        self._follow_clock()
        if self._outbox.refused_for_time:
            self._put_refused_right()
        if self._batcher.due(self._clock.monotonic_ms()):
            self._seal()
        elif self._accepting and self._flush_due():
            self._flush(())
        if not self._recorded:
            self._note(self._watch.expire(self._clock.now()))

    def finish(self, *, ended: bool) -> None:
        """Seal what is left with final estimates; ``ended``: the recording is over, and a trip in it with it."""
        self._follow_clock()
        if ended:
            self._note(self._watch.finish())
        if self._batcher.waiting or not self._estimated:
            self._seal(final=True)
        else:
            self._flush(())

    def flush(self) -> None:
        """Bring onto the disk what was read and is not there yet, where the disk takes it."""
        try:
            self._flush(())
        except OutboxError as error:
            log.error("%d samples read last are lost: %s", len(self._accepting), error)  # noqa: TRY400 - the error says it all

    def _flush_due(self) -> bool:
        waited_ms = self._clock.monotonic_ms() - self._accepting_since_ms
        return not self._accepting or waited_ms >= self._config.flush_seconds * 1000

    def _flush(self, events: tuple[VehicleEvent, ...]) -> None:
        """Bring what was read onto the disk, with the events it led to."""
        # A recording can be read again, a car cannot: only the car's samples wait for the disk.
        with self._outbox.transaction(durable=not self._recorded or bool(events)):
            self._write(events)
        self._accepting.clear()

    def _write(self, events: tuple[VehicleEvent, ...]) -> None:
        """Within the caller's transaction: what was read is kept in memory until that is on the disk."""
        self._outbox.add_samples(self._accepting, recorded=self._recorded)
        if events:
            self._seal_events(events)
            self._outbox.put_state("vehicle", self._watch.state())
        if self._position is not None:
            self._outbox.put_state(self._replay_key, self._position)

    def _seal(self, *, final: bool = False) -> None:
        estimates: tuple[Estimate, ...] = ()
        if self._last_sample is not None and (final or self._schedule.due(self._last_sample)):
            estimates = tuple(
                estimate for estimator in self._estimators for estimate in estimator.estimates(self._last_sample)
            )
            self._schedule.made(self._last_sample)
            self._estimated = True
        with self._outbox.transaction(durable=True):
            self._write(())
            _, samples = self._pending()
            self._seal_readings(samples, estimates, clock_ms=self._stamp_ms())
        self._accepting.clear()
        self._batcher.sealed()
        self._tell_losses()

    def _seal_readings(self, samples: Sequence[Sample], estimates: Sequence[Estimate], *, clock_ms: int | None) -> None:
        """All that is pending becomes batches, in one transaction with what the estimators know then."""
        created_ms = ms_from_utc(self._clock.now())
        size = self._config.batch_samples
        parts = [samples[start : start + size] for start in range(0, len(samples), size)]
        if estimates and not parts:
            parts = [()]
        with self._outbox.transaction(durable=True):
            for number, part in enumerate(parts, start=1):
                these = estimates if number == len(parts) else ()
                self._outbox.add_readings(part, these, created_ms=created_ms, clock_ms=clock_ms)
            self._outbox.clear_pending()
            # A finding is part of an estimator's state until it is taken: from here on it is an event, told once.
            self._seal_events(tuple(found for estimator in self._estimators for found in estimator.findings()))
            self._save_estimators()
            self._outbox.put_state("vehicle", self._watch.state())
            known = _Known(time_ms=created_ms, offset_ms=self._offset_ms, kernel=self._clock.kernel_boot)
            self._outbox.put_state("clock", known)

    def _pending(self) -> tuple[list[Sample], list[Sample]]:
        """What was accepted: in another start of the machine, and in this one.

        The latter with the times of the clock by which its batch will say it was stamped. A recording's are its own.
        """
        monotonic_ms, kernel = self._clock.monotonic_ms(), self._clock.kernel_boot
        now = utc_from_ms(self._offset_ms + monotonic_ms)
        former: list[Sample] = []
        ours: list[Sample] = []
        for entry in self._outbox.pending_samples():
            if entry.refused:
                log.warning("left out of a former run's sample: %s", ", ".join(entry.refused))
            if entry.recorded:
                ours.append(entry.sample)
            elif entry.kernel == kernel:
                ours.append(restamped(entry.sample, now=now, monotonic_ms=monotonic_ms))
            else:
                former.append(entry.sample)
        return former, ours

    def _take_up(self) -> None:
        """What a former run left: the time it knew, what it dated wrongly, the samples it did not seal."""
        known = msgspec.convert(self._outbox.state("clock"), _Known | None)
        if known is not None:
            self._clock.not_before(utc_from_ms(known.time_ms))
        self._offset_ms = self._clock.offset_ms()
        if known is not None and not self._recorded:
            same = bool(known.kernel) and known.kernel == self._clock.kernel_boot
            self._put_right(known.offset_ms if same else self._offset_ms)
            if same and abs(self._offset_ms - known.offset_ms) > STEP_MS:
                self._put_batches_right()
        former, ours = self._pending()
        if former or ours:
            log.info("sealing %d samples that a former run accepted", len(former) + len(ours))
            for sample in (*former, *ours):
                self._feed(sample)
                self._watch.heard(sample.values, sample.time)
            with self._outbox.transaction(durable=True):
                self._seal_readings(former, (), clock_ms=None)  # this start's clock says nothing of them
                self._seal_readings(ours, (), clock_ms=self._stamp_ms())

    def _follow_clock(self) -> None:
        """Put right what was dated by a clock that has taken a step: samples, batches, the trip, the estimators."""
        offset_ms, before_ms = self._clock.offset_ms(), self._offset_ms
        self._outbox.know_time(offset_ms + self._clock.monotonic_ms() if self._clock.synchronised else None)
        shift_ms = offset_ms - before_ms
        if abs(shift_ms) <= STEP_MS:
            return
        log.warning("the clock was put right by %.1f s; what it dated is put right too", shift_ms / 1000)
        self._offset_ms = offset_ms
        if self._recorded:
            return
        shift = timedelta(milliseconds=shift_ms)
        self._accepting = [replace(sample, time=sample.time + shift) for sample in self._accepting]
        self._put_right(before_ms)
        self._put_batches_right()
        # The estimators' states are kept with the samples they have seen, and say by their clock that all is put right.
        self._seal()

    def _put_batches_right(self) -> None:
        self._outbox.put_right(self._offset_ms, self._clock.monotonic_ms())
        with self._outbox.transaction(durable=True):
            self._tell(self._outbox.published_before(self._offset_ms))

    def _put_refused_right(self) -> None:
        """What was under way when the clock was put right, and was refused since."""
        with self._outbox.transaction(durable=True):
            self._tell(self._outbox.put_right_refused(self._offset_ms, self._clock.monotonic_ms()))

    def _put_right(self, before_ms: int) -> None:
        """What is remembered of times dated by a clock whose offset was this; nothing may lie in the future."""
        now = self._clock.now()
        first, last = utc_from_ms(before_ms), utc_from_ms(before_ms + self._clock.monotonic_ms())
        shift = timedelta(milliseconds=self._offset_ms - before_ms)

        def moved(moment: datetime) -> datetime:
            """Of this start of the machine: shifted with the clock. Of an earlier one: at least not later than now."""
            return min(moment + shift if first <= moment <= last else moment, now)

        for estimator in self._estimators:
            estimator.restore(retimed(dict(estimator.state()), moved))
        self._watch.put_right(moved)
        self._last_sample = None if self._last_sample is None else moved(self._last_sample)
        self._schedule.last = None if self._schedule.last is None else moved(self._schedule.last)

    def _tell(self, published: Sequence[Published]) -> None:
        """What was published before the clock was put right is no longer ours to change: the backend hears of it."""
        self._seal_events(tuple(clock_corrected(entry, self._clock) for entry in published))

    def _stamp_ms(self) -> int | None:
        return None if self._recorded else self._offset_ms

    def _seal_events(self, events: tuple[VehicleEvent, ...]) -> None:
        """Events do not wait for others: a batch of their own, at once. Within the caller's transaction."""
        if events:
            created_ms = ms_from_utc(self._clock.now())
            self._outbox.add_events(events, created_ms=created_ms, clock_ms=self._stamp_ms())

    def _note(self, events: tuple[VehicleEvent, ...]) -> None:
        if events:
            self._flush(events)

    def _tell_losses(self) -> None:
        """What had to be given up is said while it happens, and not only after the next start."""
        now_ms = self._clock.monotonic_ms()
        if self._losses_told_ms is not None and now_ms - self._losses_told_ms < _TELL_LOSSES_MS:
            return
        losses = given_up(self._outbox)
        if losses == self._losses:
            return
        self._losses, self._losses_told_ms = losses, now_ms
        with self._outbox.transaction(durable=True):
            self._seal_events(
                (VehicleEvent(time=self._clock.now(), kind=EventKind.DATA_GIVEN_UP, data={"given_up": losses}),)
            )

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
