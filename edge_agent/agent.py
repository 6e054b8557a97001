"""The agent: source -> readings -> estimates -> outbox -> uplink. This is the main flow; each part has its own file.

One thread, the caller's, reads the car and writes the outbox (:mod:`edge_agent.recorder`); the network thread only
publishes and acknowledges (:mod:`edge_agent.uplink`). Three things that go wrong stay apart: a failed read is a fault
within its reading; a source that is gone is closed and opened again, with growing pauses; a bug ends the agent.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from edge_agent.clock import Clock, SystemClock
from edge_agent.config import AgentConfig
from edge_agent.enrolment.build import build_identity
from edge_agent.enrolment.port import Keeping, Unmanaged
from edge_agent.errors import SourceError
from edge_agent.notify import Heartbeat, Notifier
from edge_agent.outbox import Outbox
from edge_agent.power.build import build_power
from edge_agent.power.port import AlwaysOn, Power
from edge_agent.recognition.port import Recognising
from edge_agent.recorder import Recorder
from edge_agent.remote.service import RemoteService
from edge_agent.sources.base import Source
from edge_agent.sources.pace import Resumable
from edge_agent.uplink import MqttUplink, Uplink
from edge_agent.wipe.desk import WipeDesk, WipeOrderedError
from health.estimator import Estimator

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
_RECOGNITION: Final = "recognition"  # the name of what is known of the cars, in the outbox's state
REST_SECONDS: Final = 1.0  # between two looks at a parked car: an ignition is noticed within seconds
IDLE_SECONDS: Final = 0.05  # after a poll with nothing in it: a source that returns at once must not spin


def run_agent(config: AgentConfig, source: Source, estimators: Sequence[Estimator], stop: threading.Event) -> None:
    """Run until the source has ended and all is acknowledged, or until ``stop`` is set.

    Raises OutboxError and UplinkError for what a person has to put right; a broker or a car away is none of that.
    WipeOrderedError where the dongle is to be emptied: all is closed then.
    """
    clock = SystemClock(config.last_known_time_path)
    notifier = Notifier()
    with Outbox.open(
        config.outbox_path,
        device=config.device,
        max_bytes=config.outbox_max_bytes,
        form=config.form,
        repairing=notifier.repairing,
        working=notifier.working,
    ) as outbox:
        identity, mqtt = build_identity(config, clock)
        uplink = MqttUplink(device=config.device, mqtt=mqtt, uplink=config.uplink, outbox=outbox, clock=clock)
        power = build_power(config, outbox, clock, wait=stop.wait)
        remote = RemoteService(
            device=config.device,
            allowed=config.remote.allow,
            source=source,
            channel=uplink,
            clock=clock,
            asleep=lambda: not power.talks,
        )
        desk = WipeDesk(device=config.device, outbox=config.outbox_path, tls=mqtt.tls)
        remote.on_wipe = lambda wipe: desk.take(wipe, clock.now(), batches=outbox.pending_batches())
        uplink.on_command = remote.receive
        agent = Agent(
            config=config,
            source=source,
            estimators=estimators,
            outbox=outbox,
            uplink=uplink,
            clock=clock,
            notifier=notifier,
            remote=remote,
            power=power,
            identity=identity,
        )
        try:
            agent.run(stop)
        finally:
            uplink.on_command = None  # no circle of references: paho closes its own sockets with the last one to it


class Agent:
    """One run of the agent over its ports: source, estimators, outbox, uplink and clock."""

    def __init__(
        self,
        *,
        config: AgentConfig,
        source: Source,
        estimators: Sequence[Estimator],
        outbox: Outbox,
        uplink: Uplink,
        clock: Clock,
        notifier: Notifier,
        remote: RemoteService | None = None,
        power: Power | None = None,
        identity: Keeping | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._source = source
        self._recording = source if isinstance(source, Resumable) else None
        self._outbox = outbox
        self._uplink = uplink
        self._clock = clock
        self._heartbeat = Heartbeat(notifier)
        self._remote = remote
        self._power: Power = AlwaysOn() if power is None else power
        self._identity: Keeping = Unmanaged() if identity is None else identity
        self._online = False
        self._jitter = jitter
        self._recognising = source if isinstance(source, Recognising) else None
        if self._recognising is not None:
            self._recognising.restore(outbox.state(_RECOGNITION))
            estimators = self._recognising.estimators()
        self._recorder = Recorder(config=config, estimators=estimators, outbox=outbox, clock=clock)
        if remote is not None:
            remote.on_service = self._recorder.serviced
        self._pause = FIRST_PAUSE_SECONDS

    def run(self, stop: threading.Event) -> None:
        """Read until the end or until told to stop, seal what is left, let the acknowledgements arrive."""
        self._connect()
        try:
            ended = self._read(stop)
            self._recorder.finish(ended=ended)
            self._drain(stop)
        except WipeOrderedError:
            raise
        except Exception:
            self._recorder.flush()  # what was read before a bug, or a disk that refuses, ends the agent
            raise
        finally:
            self._heartbeat.stopping()
            try:
                self._identity.close()
                self._power.close()
            finally:  # a disk that refuses the ledger must not keep the broker from being told
                if self._online:
                    self._uplink.stop()

    def _connect(self) -> None:
        """Be connected to the broker as the power plan has it, once there is a certificate to show."""
        wanted = self._power.sends and self._identity.present
        if wanted and not self._online:
            self._uplink.start()
        elif self._online and not wanted:
            self._uplink.stop()
        self._online = wanted

    def _send(self) -> None:
        """Publish what is due; where another certificate is to be shown, connect anew with it first."""
        if self._power.sends and self._identity.tick(connected=self._online and self._uplink.connected):
            if self._online:
                self._uplink.stop()
                self._online = False
            self._connect()
        if self._online:
            self._uplink.tick()

    def _read(self, stop: threading.Event) -> bool:
        """Open and poll the source, again and again; True when it has ended."""
        while not stop.is_set():
            if not self._power.talks:
                self._rest(stop)
                continue
            gone: SourceError | None = None
            try:
                self._source.open()
                if self._recording is not None:
                    self._recording.skip(self._recorder.replayed)
                while not stop.is_set() and self._power.talks:
                    if not self._poll(stop):
                        return True
            except SourceError as error:
                gone = error
                log.warning("the source is gone, opening it again in about %.0f s: %s", self._pause, error)
            finally:
                self._source.close()
            self._back_off(stop, gone)
        return False

    def _rest(self, stop: threading.Event) -> None:
        """Leave a parked car alone until it is used again: not a word to it, and to the broker by the plan only."""
        while not stop.is_set() and not self._power.talks:
            self._connect()
            measured = self._power.rest(REST_SECONDS)
            self._take_burst()
            if measured is not None:
                self._recorder.accept(measured)
                if self._remote is not None:
                    self._remote.observe(measured)
            self._housekeeping()
        self._connect()

    def _poll(self, stop: threading.Event) -> bool:
        """One reading into the outbox; False when the source has ended."""
        reading = self._source.poll()
        if reading is None:
            return False
        self._recognised()
        self._take_burst()
        self._power.heard(reading)
        self._pause = FIRST_PAUSE_SECONDS
        position = None if self._recording is None else self._recording.position
        if not self._recorder.accept(reading, position=position):
            stop.wait(IDLE_SECONDS)
        if self._remote is not None:
            self._remote.observe(reading)
        self._housekeeping()
        return True

    def _take_burst(self) -> None:
        """What was caught of a start, before any later reading."""
        for reading in self._power.burst():
            self._recorder.accept(reading)

    def _recognised(self) -> None:
        """Keep what the source has found out about the car, and estimate by its profile."""
        change = None if self._recognising is None else self._recognising.take_change()
        if self._recognising is None or change is None:
            return
        self._outbox.put_state(_RECOGNITION, self._recognising.state())
        self._recorder.read_by(self._recognising.estimators(), other_car=change.other_car)

    def _housekeeping(self) -> None:
        self._recorder.tick()
        self._send()
        if self._remote is not None:
            self._remote.tick()
        self._clock.remember()
        self._beat()

    def _beat(self) -> None:
        """Tell systemd that the loop turns, and how it is."""
        waits = self._power.sends and not (self._online and self._uplink.connected)
        told = self._power.status or "connected to the broker"
        if waits:
            told = f"no {'broker' if self._identity.present else 'certificate yet'}: everything waits in the outbox"
        trouble = self._identity.trouble
        self._heartbeat.beat(f"{told}; no certificate: {trouble}" if trouble else told, ready=not waits)

    def _back_off(self, stop: threading.Event, gone: SourceError | None) -> None:
        """Wait with jitter, so that a parking lot of dongles does not wake as one; batches go on being sent.

        What can be seen to have come back (an adapter plugged in again) is not waited for any longer.
        """
        until = time.monotonic() + self._pause * (0.5 + self._jitter())
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        while not stop.is_set() and self._power.talks and (rest := until - time.monotonic()) > 0:
            self._power.heard(None)
            self._housekeeping()
            stop.wait(min(rest, 1.0))
            if gone is not None and gone.returned is not None and gone.returned():
                return

    def _drain(self, stop: threading.Event) -> None:
        """Wait until all is acknowledged: as long as configured, and only a moment once told to stop."""
        if not self._power.sends:
            return
        begun = time.monotonic()
        stopped_at: float | None = None
        self._send()
        while self._outbox.sendable_batches():
            now = time.monotonic()
            if self._config.drain_seconds is not None and now - begun >= self._config.drain_seconds:
                break
            if stop.is_set():
                stopped_at = now if stopped_at is None else stopped_at
                if not self._uplink.connected or now - stopped_at >= self._config.stop_grace_seconds:
                    break
            self._uplink.wait(0.2)
            self._send()
            if self._remote is not None:
                self._remote.tick()
            self._beat()
        if left := self._outbox.pending_batches():
            log.info("%d batches stay in the outbox until the next start", left)
