"""The command that empties a device for good, and its answer: the end of its service for one person.

They travel on ``commands/wipe`` and ``results/wipe``, as JSON (``wearcast.wipe/1``, ``wearcast.wipe_result/1``). Unlike
all other commands it cannot be undone, so it says for which service of the device it is meant: the generation of its
certificates, when it was issued, and when it ends. A device takes it once; told again, it gives the same answer.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from telemetry.errors import WireError
from telemetry.plain import Count, JsonMessage, Time, decode_as
from telemetry.records import require_aware

WIPE_SCHEMA: Final = "wearcast.wipe/1"
WIPE_RESULT_SCHEMA: Final = "wearcast.wipe_result/1"
WIPE_KIND: Final = "wipe"  # the last level of both topics
MAX_WIPE_BYTES: Final = 4096

# Why a device does not empty itself: a closed list, as what it says is kept after its owner was erased.
WipeRefusal = Literal["other-generation", "expired", "before-this-service"]
WipeState = Literal["wiped", "refused"]


@dataclass(frozen=True, kw_only=True)
class Wipe:
    """Empty yourself. ``generation``: of the certificates the device had when its owner was erased; 0 without."""

    id: UUID
    device: str
    generation: int
    issued: datetime
    expires: datetime

    def __post_init__(self) -> None:
        require_aware(self.issued, "Wipe.issued")
        require_aware(self.expires, "Wipe.expires")
        if self.expires <= self.issued:
            raise ValueError("a wipe expires after it was issued; give it some days")


@dataclass(frozen=True, kw_only=True)
class WipeResult:
    """What became of it: ``wiped`` once nothing is left, with how much that was; ``refused`` with the reason."""

    id: UUID
    device: str
    state: WipeState
    time: datetime
    refusal: WipeRefusal | None = None
    batches: int = 0  # that waited in the outbox
    files: int = 0

    def __post_init__(self) -> None:
        require_aware(self.time, "WipeResult.time")
        if (self.state == "refused") != (self.refusal is not None):
            raise ValueError("a wipe that is refused says why, and no other does")


class WipeMessage(JsonMessage, frozen=True, kw_only=True):
    """Empty yourself for good."""

    id: UUID
    generation: Count
    issued: Time
    expires: Time


class WipeResultMessage(JsonMessage, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a wipe."""

    id: UUID
    state: WipeState
    time: Time
    refusal: WipeRefusal | None = None
    batches: Count = 0
    files: Count = 0


_encoder = msgspec.json.Encoder()
_wipe = msgspec.json.Decoder(WipeMessage)
_result = msgspec.json.Decoder(WipeResultMessage)


def encode_wipe(wipe: Wipe) -> bytes:
    """Bytes of the command."""
    return _encoder.encode(
        WipeMessage(
            schema=WIPE_SCHEMA,
            device=wipe.device,
            id=wipe.id,
            generation=wipe.generation,
            issued=wipe.issued.astimezone(UTC),
            expires=wipe.expires.astimezone(UTC),
        )
    )


def decode_wipe(device: str, payload: bytes) -> Wipe:
    """Command received on the device's ``commands/wipe``; WireError where it is none, or does not name the device."""
    _bounded(payload)
    message = decode_as(_wipe, WIPE_SCHEMA, device, payload)
    if message.device is None:
        raise WireError("malformed", f"wipe {message.id} does not say for which device it is")
    try:
        return Wipe(
            id=message.id,
            device=device,
            generation=message.generation,
            issued=message.issued.astimezone(UTC),
            expires=message.expires.astimezone(UTC),
        )
    except (ValueError, OverflowError) as error:
        raise WireError("malformed", f"wipe {message.id}: {error}") from error


def encode_wipe_result(result: WipeResult) -> bytes:
    """Bytes of an answer."""
    return _encoder.encode(
        WipeResultMessage(
            schema=WIPE_RESULT_SCHEMA,
            device=result.device,
            id=result.id,
            state=result.state,
            time=result.time.astimezone(UTC),
            refusal=result.refusal,
            batches=result.batches,
            files=result.files,
        )
    )


def decode_wipe_result(device: str, payload: bytes) -> WipeResult:
    """Answer received on the device's ``results/wipe``; WireError where it is none."""
    _bounded(payload)
    message = decode_as(_result, WIPE_RESULT_SCHEMA, device, payload)
    try:
        return WipeResult(
            id=message.id,
            device=device,
            state=message.state,
            time=message.time,
            refusal=message.refusal,
            batches=message.batches,
            files=message.files,
        )
    except ValueError as error:
        raise WireError("malformed", f"answer to wipe {message.id}: {error}") from error


def _bounded(payload: bytes) -> None:
    if len(payload) > MAX_WIPE_BYTES:
        raise WireError("oversized", f"{len(payload)} bytes are more than {MAX_WIPE_BYTES}")
