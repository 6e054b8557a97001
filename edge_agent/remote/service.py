"""Between the uplink's thread, on which commands arrive, and the agent's, on which they are answered.

Questions go to the desk, service records to the estimators, a wipe to who empties the dongle. A record that cannot be
judged now gets no answer: the backend tells it again.
"""

import logging
import queue
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, Protocol

from edge_agent.clock import Clock
from edge_agent.remote.desk import CommandDesk, Instant
from edge_agent.services import Serviced
from edge_agent.sources.base import Reading, ReadsCodesOnDemand, Source
from edge_agent.wipe.desk import WipeOrderedError
from telemetry.commands import CommandKind, CommandResult, decode_command, encode_result
from telemetry.errors import WireError
from telemetry.records import ServiceRecord
from telemetry.service import SERVICE_KIND, ServiceResult, decode_service, encode_service_result
from telemetry.wipe import WIPE_KIND, Wipe, WipeResult, decode_wipe, encode_wipe_result

log = logging.getLogger(__name__)

_WAITING: Final = 16  # commands received and not yet looked at; an agent in a long poll answers those, no more
_ASK_AGAIN_MS: Final = 5_000  # a car that did not give its codes is asked once more within the patience


class ResultChannel(Protocol):
    """Where answers go: the uplink. What cannot be sent now is dropped, the asker has a deadline."""

    def publish_result(self, kind: str, payload: bytes) -> None:
        """Publish on the device's ``results/{kind}``."""
        ...


class RemoteService:
    """Takes commands from the broker and answers them between two polls. ``asleep``: whether the car must be left."""

    def __init__(
        self,
        *,
        device: str,
        allowed: Iterable[CommandKind],
        source: Source,
        channel: ResultChannel,
        clock: Clock,
        asleep: Callable[[], bool] = lambda: False,
    ) -> None:
        self.on_service: Callable[[ServiceRecord], Serviced] | None = None  # on the agent's thread; set before tick()
        # The answer, or None where the dongle is to be emptied, which is written down then; the same thread.
        self.on_wipe: Callable[[Wipe], WipeResult | None] | None = None
        self._device = device
        self._desk = CommandDesk(device=device, allowed=frozenset(allowed))
        self._source = source
        self._channel = channel
        self._clock = clock
        self._asleep = asleep
        self._received: queue.Queue[tuple[str, bytes]] = queue.Queue(_WAITING)
        self._codes_asked_ms: int | None = None
        self._dropped = 0  # commands, since that was last told

    def receive(self, kind: str, payload: bytes) -> None:
        """Called on the network thread with what came on ``commands/{kind}``; never blocks."""
        try:
            self._received.put_nowait((kind, payload))
        except queue.Full:
            self._dropped += 1

    def observe(self, reading: Reading) -> None:
        """A reading of the source may answer somebody."""
        self._publish(self._desk.observe(reading, self._now()))

    def tick(self) -> None:
        """Take what arrived and say what is due; cheap, called after each poll. WipeOrderedError ends the agent."""
        moment = self._now()
        if self._dropped:
            log.warning("more commands arrive than are answered; %d were dropped", self._dropped)
            self._dropped = 0
        for _ in range(_WAITING):  # what arrives meanwhile waits for the next time: the car comes first
            try:
                kind, payload = self._received.get_nowait()
            except queue.Empty:
                break
            try:
                self._take(kind, payload, moment)
            except WireError as error:
                log.warning("ignored a command of kind %s: %s", kind[:20], error)
        self._publish(self._desk.tick(moment))
        self._ask_for_codes(moment)

    def _take(self, kind: str, payload: bytes, moment: Instant) -> None:
        if kind == SERVICE_KIND:
            self._service(decode_service(self._device, payload), moment)
            return
        if kind == WIPE_KIND:
            self._wipe(decode_wipe(self._device, payload))
            return
        command = decode_command(self._device, kind, payload)
        log.info("asked from afar: %s (%s)", command.kind, command.id)
        self._publish(self._desk.ask(command, moment, asleep=self._asleep()))

    def _service(self, record: ServiceRecord, moment: Instant) -> None:
        if self.on_service is None:
            return
        answer = self.on_service(record)
        log.info("service of %s, %s: %s %s", record.quantity, record.action, answer.state, answer.reason)
        if answer.state != "later":
            result = ServiceResult(
                id=record.id, device=self._device, state=answer.state, time=moment.time, reason=answer.reason
            )
            self._channel.publish_result(SERVICE_KIND, encode_service_result(result))

    def _wipe(self, wipe: Wipe) -> None:
        if self.on_wipe is None:
            return
        answer = self.on_wipe(wipe)
        if answer is None:
            raise WipeOrderedError
        self._channel.publish_result(WIPE_KIND, encode_wipe_result(answer))

    def _now(self) -> Instant:
        return Instant(time=self._clock.now(), ms=self._clock.monotonic_ms())

    def _ask_for_codes(self, moment: Instant) -> None:
        if not self._desk.wants_codes:
            self._codes_asked_ms = None
        elif self._codes_asked_ms is None or moment.ms - self._codes_asked_ms >= _ASK_AGAIN_MS:
            self._codes_asked_ms = moment.ms
            if isinstance(self._source, ReadsCodesOnDemand):
                self._source.read_codes_soon()

    def _publish(self, results: Iterable[CommandResult]) -> None:
        for result in results:
            try:
                payload = encode_result(result)
            except ValueError as error:
                log.warning("an answer to %s is not sent: %s", result.id, error)
                payload = encode_result(replace(result, state="failed", reason=str(error), data={}))
            self._channel.publish_result(result.kind, payload)
