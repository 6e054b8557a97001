"""Commands from the backend to a device, and its answers: asking a car something from afar.

Commands travel on ``commands/{kind}``, answers on ``results/{kind}``, both as JSON (``wearcast.command/1``,
``wearcast.result/1``). All kinds only read: no command changes a car. An answer comes in order as ``accepted``, then
for ``live`` any number of ``part``, then one of ``done``, ``refused``, ``failed``; a device that is away says nothing,
and the command expires.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from telemetry.errors import WireError
from telemetry.plain import MAX_DEPTH, JsonMessage, Time, decode_as, deeper_than
from telemetry.records import require_aware

COMMAND_SCHEMA: Final = "wearcast.command/1"
RESULT_SCHEMA: Final = "wearcast.result/1"
MAX_COMMAND_BYTES: Final = 4096
MAX_RESULT_BYTES: Final = 128 * 1024
LONGEST_LIVE_SECONDS: Final = 600.0  # of one command: a forgotten terminal must not keep a dongle sending


class CommandKind(StrEnum):
    """What a device can be asked. The values are the last level of the topics."""

    DTC = "dtc"  # trouble codes, read now
    LIVE = "live"  # values as they are read, for some seconds
    SNAPSHOT = "snapshot"  # the latest value of everything, with its age


ResultState = Literal["accepted", "part", "done", "refused", "failed"]
FINAL_STATES: Final[frozenset[ResultState]] = frozenset({"done", "refused", "failed"})


@dataclass(frozen=True, kw_only=True)
class Command:
    """One question to one device; after ``expires`` nobody waits for the answer any more.

    ``seconds``: how long ``live`` goes on; 0 for the others.
    """

    id: UUID
    device: str
    kind: CommandKind
    issued: datetime
    expires: datetime
    seconds: float = 0.0

    def __post_init__(self) -> None:
        require_aware(self.issued, "Command.issued")
        require_aware(self.expires, "Command.expires")
        if self.expires <= self.issued:
            raise ValueError("a command expires after it was issued; give it some seconds")
        if not 0 <= self.seconds <= LONGEST_LIVE_SECONDS:
            raise ValueError(f"seconds is {self.seconds:g}; give 0 to {LONGEST_LIVE_SECONDS:g}")


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """One message of a device's answer.

    ``part`` counts the messages of one answer from 0; ``reason`` says in words why it was refused, failed or is old.
    """

    id: UUID
    device: str
    kind: CommandKind
    state: ResultState
    time: datetime
    part: int = 0
    reason: str | None = None
    data: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_aware(self.time, "CommandResult.time")

    @property
    def final(self) -> bool:
        """Whether nothing more follows."""
        return self.state in FINAL_STATES


class CommandMessage(JsonMessage, frozen=True, kw_only=True, omit_defaults=True):
    """A question to a device."""

    id: UUID
    kind: CommandKind
    issued: Time
    expires: Time
    seconds: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_LIVE_SECONDS)] = 0.0


class ResultMessage(JsonMessage, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a device's answer."""

    id: UUID
    kind: CommandKind
    state: ResultState
    time: Time
    part: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    reason: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    data: dict[str, Any] = msgspec.field(default_factory=dict)


_encoder = msgspec.json.Encoder()
_command = msgspec.json.Decoder(CommandMessage)
_result = msgspec.json.Decoder(ResultMessage)


def encode_command(command: Command) -> bytes:
    """Bytes of a command."""
    return _encoder.encode(
        CommandMessage(
            schema=COMMAND_SCHEMA,
            device=command.device,
            id=command.id,
            kind=command.kind,
            issued=command.issued,
            expires=command.expires,
            seconds=command.seconds,
        )
    )


def decode_command(device: str, kind: str, payload: bytes) -> Command:
    """Command received on the device's ``commands/{kind}``; WireError where it is none."""
    _bounded(payload, MAX_COMMAND_BYTES)
    message = decode_as(_command, COMMAND_SCHEMA, device, payload)
    _same_kind(message.kind, kind)
    try:
        return Command(
            id=message.id,
            device=device,
            kind=message.kind,
            issued=message.issued,
            expires=message.expires,
            seconds=message.seconds,
        )
    except ValueError as error:
        raise WireError("malformed", f"command {message.id}: {error}") from error


def encode_result(result: CommandResult) -> bytes:
    """Bytes of an answer; ValueError for one that the other side would not take."""
    payload = _encoder.encode(
        ResultMessage(
            schema=RESULT_SCHEMA,
            device=result.device,
            id=result.id,
            kind=result.kind,
            state=result.state,
            time=result.time,
            part=result.part,
            reason=result.reason,
            data=dict(result.data),
        )
    )
    if len(payload) > MAX_RESULT_BYTES:
        raise ValueError(f"an answer of {len(payload)} bytes is more than {MAX_RESULT_BYTES}; send it in parts")
    return payload


def decode_result(device: str, kind: str, payload: bytes) -> CommandResult:
    """Answer received on the device's ``results/{kind}``; WireError where it is none."""
    _bounded(payload, MAX_RESULT_BYTES)
    message = decode_as(_result, RESULT_SCHEMA, device, payload)
    _same_kind(message.kind, kind)
    if deeper_than(message.data, MAX_DEPTH):
        raise WireError("malformed", f"answer to {message.id}: data nested deeper than {MAX_DEPTH} levels")
    return CommandResult(
        id=message.id,
        device=device,
        kind=message.kind,
        state=message.state,
        time=message.time,
        part=message.part,
        reason=message.reason,
        data=message.data,
    )


def _bounded(payload: bytes, limit: int) -> None:
    if len(payload) > limit:
        raise WireError("oversized", f"{len(payload)} bytes are more than {limit}")


def _same_kind(named: CommandKind, topic: str) -> None:
    if named != topic:
        raise WireError("malformed", f"the message is about {named}, its topic about {topic[:100]!r}")
