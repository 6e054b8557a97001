"""An empty dongle: collects nothing, answers the backend, and waits for a new service.

A new service begins with a certificate of a later generation (the device is enrolled anew), or by hand with
``wearcast agent enable``. Nothing of the car is read and nothing kept, but a parked car's battery is spared as before.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from edge_agent.clock import Clock, SystemClock
from edge_agent.config import AgentConfig
from edge_agent.enrolment.build import build_identity
from edge_agent.enrolment.port import Keeping
from edge_agent.notify import Heartbeat, Notifier
from edge_agent.outbox import Outbox
from edge_agent.power.build import build_power
from edge_agent.power.port import Power
from edge_agent.wipe.desk import WipeDesk
from edge_agent.wipe.empty import finish_wipe
from edge_agent.wipe.generation import own_generation
from edge_agent.wipe.link import WipeLink
from edge_agent.wipe.record import read_record, write_record
from telemetry.errors import WireError
from telemetry.wipe import decode_wipe

log = logging.getLogger(__name__)

TURN_SECONDS: Final = 1.0
# Shut out after the answer, there is nothing more to be heard: knocking on would cost a parked car charge.
GIVE_UP_SECONDS: Final = 600.0
_STATUS: Final = "emptied, collects nothing; a new service begins with: wearcast agent enable"


def stay_quiet(config: AgentConfig, stop: threading.Event) -> None:
    """Until ``stop`` is set or a new service begins. The caller holds the outbox."""
    clock = SystemClock(config.last_known_time_path)
    # The governor of power keeps its state in an outbox; here in one that ends with the process.
    with Outbox.open(":memory:", device=config.device, max_bytes=config.outbox_max_bytes) as nowhere:
        identity, mqtt = build_identity(config, clock)
        quiet = Quiet(
            config=config,
            link=WipeLink(device=config.device, mqtt=mqtt, uplink=config.uplink),
            desk=WipeDesk(device=config.device, outbox=config.outbox_path, tls=mqtt.tls),
            generation=lambda: own_generation(mqtt.tls),
            identity=identity,
            power=build_power(config, nowhere, clock, wait=stop.wait),
            clock=clock,
        )
        quiet.run(stop)


class Quiet:
    """The loop over its ports."""

    def __init__(
        self,
        *,
        config: AgentConfig,
        link: WipeLink,
        desk: WipeDesk,
        generation: Callable[[], int | None],
        identity: Keeping,
        power: Power,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._link = link
        self._desk = desk
        self._generation = generation
        self._identity = identity
        self._power = power
        self._clock = clock
        self._monotonic = monotonic
        self._heartbeat = Heartbeat(Notifier())
        self._answered = False  # on this connection
        self._answered_at: float | None = None  # monotonic seconds, and still connected then

    def run(self, stop: threading.Event) -> None:
        """See :func:`stay_quiet`."""
        log.warning("%s", _STATUS)
        try:
            while not stop.is_set() and not self._new_service():
                self._turn()
        finally:
            self._heartbeat.stopping()
            self._identity.close()
            self._power.close()
            self._link.stop()

    def _new_service(self) -> bool:
        record = read_record(self._config.outbox_path)
        if record.state != "served" and (self._generation() or 0) > record.generation:
            record = record.served(None)
            write_record(self._config.outbox_path, record)
        if record.state == "served":
            log.warning("a new service of this dongle begins")
        return record.state == "served"

    def _turn(self) -> None:
        if self._power.talks:
            self._power.heard(None)
        else:
            self._power.rest(TURN_SECONDS)
        self._power.burst()
        self._connect()
        self._tell()
        payload = self._link.received(TURN_SECONDS if self._power.talks else 0.01)
        if payload is not None:
            self._take(payload)
        self._clock.remember()
        self._heartbeat.beat(_STATUS, ready=True)

    def _connect(self) -> None:
        renewed = self._identity.tick(connected=self._link.connected)
        if renewed or not (self._power.sends and self._identity.present):
            self._link.stop()
        if renewed and self._answered_at is not None:
            self._answered_at = self._monotonic()  # somebody gave a certificate: it may be asked again
        if self._power.sends and self._identity.present and not self._is_over():
            self._link.start()
        elif self._is_over():
            self._link.stop()

    def _is_over(self) -> bool:
        """Whether the answer was given and nobody has let us in for long."""
        return self._answered_at is not None and self._monotonic() - self._answered_at > GIVE_UP_SECONDS

    def _tell(self) -> None:
        """The answer, unasked at each new connection: the one before may have been lost on its way."""
        if not self._link.connected:
            self._answered = False
            return
        if not self._answered:
            result = self._desk.answer(read_record(self._config.outbox_path), self._clock.now())
            self._answered = result is None or self._link.answer(result)
        if self._answered:
            self._answered_at = self._monotonic()

    def _take(self, payload: bytes) -> None:
        try:
            wipe = decode_wipe(self._config.device, payload)
        except WireError as error:
            log.warning("ignored a wipe: %s", error)
            return
        result = self._desk.take(wipe, self._clock.now(), batches=0)
        if result is None:
            finish_wipe(self._config.outbox_path)
            result = self._desk.answer(read_record(self._config.outbox_path), self._clock.now())
        if result is not None:
            self._link.answer(result)
