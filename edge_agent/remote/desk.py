"""Commands in, readings in, answers out: pure, with the time as an argument.

Two times: a command expires, and a value was read, by the time of day; how long something has gone on is counted by a
clock that only goes on, since a dongle's time of day may be put right by years at any moment.

A command never talks to the car by itself. It is answered from the readings the source gives; for trouble codes the
source is asked to read them out of turn (:attr:`CommandDesk.wants_codes`). A car that sleeps is left asleep: then the
answer is what was last known, with its age.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from edge_agent.sources.base import Reading, TroubleCode
from telemetry.commands import Command, CommandKind, CommandResult, ResultState

LIVE_EVERY_MS: Final = 1_000  # between two parts: what a person can follow, and one message a second
CODES_WITHIN_MS: Final = 20_000  # a car with many ECUs takes seconds for all of its codes
WAY_BACK_MS: Final = 2_000  # an answer is said that much before nobody waits for it any more
_AT_ONCE: Final = 4  # commands under way
_PER_MINUTE: Final = 30
_MINUTE_MS: Final = 60_000
_REMEMBERED: Final = 64  # answers kept: the same command may come again after a reconnect


@dataclass(frozen=True, kw_only=True)
class Instant:
    """A moment: the time of day, and milliseconds of a clock that only goes on."""

    time: datetime
    ms: int


class CommandDesk:
    """What was asked and is not yet answered. ``allowed``: the kinds that ``agent.yaml`` lets in."""

    def __init__(self, *, device: str, allowed: frozenset[CommandKind]) -> None:
        self._device = device
        self._allowed = allowed
        self._values: dict[str, tuple[float, datetime]] = {}
        self._codes: tuple[tuple[TroubleCode, ...], datetime] | None = None
        self._running: dict[UUID, _Running] = {}
        self._answered: OrderedDict[UUID, CommandResult] = OrderedDict()
        self._asked: deque[int] = deque(maxlen=_PER_MINUTE)  # ms

    @property
    def wants_codes(self) -> bool:
        """Whether somebody waits for trouble codes: the source should read them out of turn."""
        return any(running.command.kind is CommandKind.DTC for running in self._running.values())

    def ask(self, command: Command, moment: Instant, *, asleep: bool = False) -> tuple[CommandResult, ...]:
        """Take a command; what is to be said at once. ``asleep``: the car is parked and must not be woken."""
        if command.id in self._answered:
            return (self._answered[command.id],)
        if command.id in self._running:
            return ()
        if refusal := self._refusal(command, moment):
            return (self._final(command, moment, "refused", reason=refusal),)
        self._asked.append(moment.ms)
        if command.kind is CommandKind.SNAPSHOT:
            return (self._snapshot(command, moment, asleep=asleep),)
        if asleep and command.kind is CommandKind.LIVE:
            return (self._final(command, moment, "failed", reason="the car sleeps and is not woken; ask for snapshot"),)
        if asleep:
            return (self._known_codes(command, moment, "the car sleeps and is not woken"),)
        self._running[command.id] = _Running(command=command, ends_ms=_ends_ms(command, moment), said_ms=moment.ms)
        return (self._say(command, moment, "accepted"),)

    def observe(self, reading: Reading, moment: Instant) -> tuple[CommandResult, ...]:
        """A reading of the source: what it answers."""
        for path, value in reading.values.items():
            self._values[path] = (value, moment.time)
        for running in self._running.values():
            running.fresh.update(reading.values)
        if reading.trouble_codes is None:
            return ()
        self._codes = (reading.trouble_codes, moment.time)
        waiting = [r.command for r in self._running.values() if r.command.kind is CommandKind.DTC]
        return tuple(self._known_codes(command, moment, None, ecus=reading.ecus_read) for command in waiting)

    def tick(self, moment: Instant) -> tuple[CommandResult, ...]:
        """What is due by the time: parts and ends of ``live``, and codes that did not come."""
        said: list[CommandResult] = []
        for running in list(self._running.values()):
            over = moment.ms >= running.ends_ms
            if running.command.kind is CommandKind.DTC:
                if over:
                    said.append(self._known_codes(running.command, moment, "the car did not give its codes now"))
            elif over:
                said += [*self._part(running, moment), self._end_of_live(running, moment)]
            elif moment.ms - running.said_ms >= LIVE_EVERY_MS:
                said += self._part(running, moment)
        return tuple(said)

    def _refusal(self, command: Command, moment: Instant) -> str | None:
        if command.kind not in self._allowed:
            return f"{command.kind} is not among remote.allow in this device's agent.yaml"
        if moment.time >= command.expires:
            return f"it expired at {command.expires.isoformat()}; this device's clock says {moment.time.isoformat()}"
        if len(self._running) >= _AT_ONCE:
            return f"{_AT_ONCE} commands are under way; ask again when they are answered"
        full = len(self._asked) == _PER_MINUTE
        if full and moment.ms - self._asked[0] < _MINUTE_MS:
            return f"more than {_PER_MINUTE} commands in a minute; ask less often"
        return None

    def _snapshot(self, command: Command, moment: Instant, *, asleep: bool) -> CommandResult:
        reason = "the car sleeps: these are its last values" if asleep else None
        if not self._values:
            reason = "nothing has been read since this agent started"
        data: dict[str, object] = {
            "values": {path: {"value": value, "time": at.isoformat()} for path, (value, at) in self._values.items()}
        }
        if self._codes is not None:
            data |= _codes_data(*self._codes)
        return self._final(command, moment, "done", reason=reason, data=data)

    def _known_codes(
        self, command: Command, moment: Instant, reason: str | None, *, ecus: frozenset[str] | None = None
    ) -> CommandResult:
        if self._codes is None:
            return self._final(command, moment, "failed", reason=f"{reason}, and none were read before")
        data = _codes_data(*self._codes)
        if ecus is not None:
            data["ecus_read"] = sorted(ecus)
        return self._final(command, moment, "done", reason=reason, data=data)

    def _end_of_live(self, running: "_Running", moment: Instant) -> CommandResult:
        if not running.parts:
            return self._final(running.command, moment, "failed", reason="the car gave no values in that time")
        return self._final(running.command, moment, "done", part=running.parts + 1)

    def _part(self, running: "_Running", moment: Instant) -> list[CommandResult]:
        running.said_ms = moment.ms
        if not running.fresh:
            return []
        values, running.fresh = running.fresh, {}
        running.parts += 1
        return [self._say(running.command, moment, "part", part=running.parts, data={"values": values})]

    def _say(
        self,
        command: Command,
        moment: Instant,
        state: ResultState,
        *,
        part: int = 0,
        reason: str | None = None,
        data: Mapping[str, object] | None = None,
    ) -> CommandResult:
        return CommandResult(
            id=command.id,
            device=self._device,
            kind=command.kind,
            state=state,
            time=moment.time,
            part=part,
            reason=reason,
            data=data or {},
        )

    def _final(
        self,
        command: Command,
        moment: Instant,
        state: ResultState,
        *,
        part: int = 1,
        reason: str | None = None,
        data: Mapping[str, object] | None = None,
    ) -> CommandResult:
        result = self._say(command, moment, state, part=part, reason=reason, data=data)
        self._running.pop(command.id, None)
        self._answered[command.id] = result
        while len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)
        return result


@dataclass(kw_only=True)
class _Running:
    """A command under way: when it ends at the latest, when something was last said, and what has not been said yet."""

    command: Command
    ends_ms: int
    said_ms: int
    fresh: dict[str, float] = field(default_factory=dict)
    parts: int = 0


def _ends_ms(command: Command, moment: Instant) -> int:
    """When the answer is complete or given up; in any case while somebody waits for it."""
    wanted_ms = CODES_WITHIN_MS if command.kind is CommandKind.DTC else round(command.seconds * 1000)
    left_ms = round((command.expires - moment.time).total_seconds() * 1000)
    return moment.ms + min(wanted_ms, max(left_ms - WAY_BACK_MS, left_ms // 2))


def _codes_data(codes: tuple[TroubleCode, ...], read_at: datetime) -> dict[str, object]:
    return {"trouble_codes": [asdict(code) for code in codes], "codes_read_at": read_at.isoformat()}
