"""Between the uplink's thread, on which commands arrive, and the agent's, on which they are answered."""

import logging
import queue
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, Protocol

from edge_agent.clock import Clock
from edge_agent.remote.desk import CommandDesk
from edge_agent.sources.base import Reading, ReadsCodesOnDemand, Source
from telemetry.commands import CommandKind, CommandResult, decode_command, encode_result
from telemetry.errors import WireError

log = logging.getLogger(__name__)

_WAITING: Final = 16  # commands received and not yet looked at; an agent in a long poll answers those, no more
_ASK_AGAIN: Final = timedelta(seconds=5)  # a car that did not give its codes is asked once more within the patience


class ResultChannel(Protocol):
    """Where answers go: the uplink. What cannot be sent now is dropped, the asker has a deadline."""

    def publish_result(self, kind: CommandKind, payload: bytes) -> None:
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
        self._device = device
        self._desk = CommandDesk(device=device, allowed=frozenset(allowed))
        self._source = source
        self._channel = channel
        self._clock = clock
        self._asleep = asleep
        self._received: queue.Queue[tuple[str, bytes]] = queue.Queue(_WAITING)
        self._codes_asked_at: datetime | None = None

    def receive(self, kind: str, payload: bytes) -> None:
        """Called on the network thread with what came on ``commands/{kind}``; never blocks."""
        try:
            self._received.put_nowait((kind, payload))
        except queue.Full:
            log.warning("more commands arrive than are answered; one of kind %s was dropped", kind[:20])

    def observe(self, reading: Reading) -> None:
        """A reading of the source may answer somebody."""
        self._publish(self._desk.observe(reading, self._clock.now()))

    def tick(self) -> None:
        """Take what arrived and say what is due; cheap, called after each poll."""
        moment = self._clock.now()
        while not self._received.empty():
            kind, payload = self._received.get_nowait()
            try:
                command = decode_command(self._device, kind, payload)
            except WireError as error:
                log.warning("ignored a command of kind %s: %s", kind[:20], error)
                continue
            log.info("asked from afar: %s (%s)", command.kind, command.id)
            self._publish(self._desk.ask(command, moment, asleep=self._asleep()))
        self._publish(self._desk.tick(moment))
        self._ask_for_codes(moment)

    def _ask_for_codes(self, moment: datetime) -> None:
        if not self._desk.wants_codes:
            self._codes_asked_at = None
        elif self._codes_asked_at is None or moment - self._codes_asked_at >= _ASK_AGAIN:
            self._codes_asked_at = moment
            if isinstance(self._source, ReadsCodesOnDemand):
                self._source.read_codes_soon()

    def _publish(self, results: Iterable[CommandResult]) -> None:
        for result in results:
            try:
                payload = encode_result(result)
            except ValueError as error:
                log.warning("an answer to %s is not sent: %s", result.id, error)
                continue
            self._channel.publish_result(result.kind, payload)
