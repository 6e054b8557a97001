"""How a virtual car's answers go wrong on purpose, as data: by what is asked, of whom, and how often.

Pure: a reply goes in, replies come out. Who puts them on a bus or a serial line keeps to ``delay_s`` and ``frames``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, get_args

from edge_agent.errors import ConfigurationError
from edge_agent.obd.fields import Fields
from edge_agent.obd.service01 import split_several

Kind = Literal[
    "negative",  # answers with a negative response code
    "silence",  # does not answer, as with the ignition off
    "shortened",  # the last ``size`` bytes of the payload are missing
    "padded",  # ``size`` bytes too many
    "breaks_off",  # only the first ``size`` frames of a long answer come; of a short one a frame cut in the middle
    "wrong_ecu",  # the answer comes under another ECU's identifier
    "stale",  # the answer to the request before
    "garbage",  # bytes without sense
    "slow",  # ``delay_s`` late
    "pending",  # ``size`` times NRC 0x78, ``delay_s`` apart, then the answer
    "first_only",  # of several parameters only the first
    "reordered",  # several parameters in reverse order
]
KINDS: tuple[Kind, ...] = get_args(Kind)
_OF_SEVERAL = frozenset({"first_only", "reordered"})
_PADDING = 0xAA
_FIRST_FRAME_BYTES, _CONSECUTIVE_FRAME_BYTES = 6, 7


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer on its way.

    ``identifier``: CAN identifier it is sent with; ``delay_s``: after the request; ``frames``: what to send instead of
    the payload by ISO 15765-2, without waiting for flow control.
    """

    identifier: int
    payload: bytes
    delay_s: float = 0.0
    frames: tuple[bytes, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """What goes wrong, and when: the answers to requests that begin with ``request`` (all, if empty).

    ``ecu``: response identifier in hex ("7E8"), None for every one. ``several``: only requests for several parameters
    of service 01. ``times``: so many answers, then no more; None for always. The rest belongs to the kind, see
    :data:`Kind`.
    """

    kind: Kind
    request: bytes = b""
    ecu: str | None = None
    several: bool = False
    times: int | None = None
    code: int = 0x22  # conditions not correct
    size: int = 1
    delay_s: float = 0.5
    as_ecu: str = "7EF"

    def __post_init__(self) -> None:
        if self.size < 1 or self.delay_s < 0 or not 0 <= self.code <= 0xFF:
            raise ConfigurationError(f"disturbance {self.kind}: size is above 0, delay_s not below, code one byte")

    @classmethod
    def from_dict(cls, document: Mapping[str, object], where: str = "disturb") -> "Disturbance":
        """Build from plain data; ConfigurationError names the place in it and the nearest key. ``request`` in hex."""
        keys = Fields(document, where)
        try:
            request = bytes.fromhex(keys.text("request", ""))
        except ValueError:
            raise ConfigurationError(f"{where}.request: give the first bytes in hex, as '010C'") from None
        kind = keys.text("kind")
        if kind not in KINDS:
            raise ConfigurationError(f"{where}.kind: {kind!r} is none of {', '.join(KINDS)}")
        made = cls(
            kind=kind,
            request=request,
            ecu=keys.text("ecu", "") or None,
            several=keys.boolean("several", default=False),
            times=keys.optional_integer("times"),
            code=keys.integer("code", 0x22),
            size=keys.integer("size", 1),
            delay_s=keys.number("delay_s", 0.5),
            as_ecu=keys.text("as_ecu", "7EF"),
        )
        keys.done()
        return made

    def matches(self, request: bytes, reply: Reply) -> bool:
        """Whether it concerns this answer."""
        right_ecu = self.ecu is None or int(self.ecu, 16) == reply.identifier
        if self.several or self.kind in _OF_SEVERAL:
            right_ecu = right_ecu and request[:1] == b"\x01" and len(request) > 2 and reply.payload[:1] == b"\x41"
        return request.startswith(self.request) and right_ecu


class Disturbances:
    """Those in force now, set from any thread; counts how often each was used."""

    def __init__(self, *disturbances: Disturbance, seed: int = 1) -> None:
        self._random = Random(seed)
        self._former: dict[int, bytes] = {}  # identifier -> its answer before
        self._state: tuple[tuple[Disturbance, list[int]], ...] = ()
        self.set(*disturbances)

    def set(self, *disturbances: Disturbance) -> None:
        """Put these in the place of the former; none ends all disturbance."""
        self._state = tuple((disturbance, [0]) for disturbance in disturbances)

    def disturbed(self, request: bytes, reply: Reply) -> tuple[Reply, ...]:
        """What really comes instead of this reply: the first disturbance that matches decides."""
        former = self._former.get(reply.identifier)
        self._former[reply.identifier] = reply.payload
        for disturbance, used in self._state:
            if not disturbance.matches(request, reply):
                continue
            if disturbance.times is not None and used[0] >= disturbance.times:
                continue
            used[0] += 1
            return self._made(disturbance, request, reply, former)
        return (reply,)

    def _made(self, what: Disturbance, request: bytes, reply: Reply, former: bytes | None) -> tuple[Reply, ...]:
        payload = reply.payload
        if what.kind == "silence":
            return ()
        if what.kind == "negative":
            return (replace(reply, payload=bytes((0x7F, request[0], what.code))),)
        if what.kind == "shortened":
            return (replace(reply, payload=payload[: -what.size] or payload[:1]),)
        if what.kind == "padded":
            return (replace(reply, payload=payload + bytes((0x55,)) * what.size),)
        if what.kind == "breaks_off":
            return (replace(reply, frames=_broken_off(payload, what.size)),)
        if what.kind == "wrong_ecu":
            return (replace(reply, identifier=int(what.as_ecu, 16), frames=segmented(payload)),)
        if what.kind == "stale":
            return (replace(reply, payload=former),) if former is not None else ()
        if what.kind == "garbage":
            return (replace(reply, payload=self._random.randbytes(len(payload))),)
        if what.kind == "slow":
            return (replace(reply, delay_s=what.delay_s),)
        if what.kind == "pending":
            wait = bytes((0x7F, request[0], 0x78))
            pauses = [replace(reply, payload=wait, delay_s=n * what.delay_s) for n in range(what.size)]
            return (*pauses, replace(reply, delay_s=what.size * what.delay_s))
        parts = [bytes((pid,)) + data for pid, data in split_several(payload)]
        kept = parts[:1] if what.kind == "first_only" else parts[::-1]
        return (replace(reply, payload=payload[:1] + b"".join(kept)),)


def segmented(payload: bytes) -> tuple[bytes, ...]:
    """A payload of up to 4095 bytes as the data of CAN frames of eight bytes (ISO 15765-2, normal addressing)."""
    if len(payload) <= 7:
        return (_frame(bytes((len(payload),)) + payload),)
    frames = [(0x1000 | len(payload)).to_bytes(2) + payload[:_FIRST_FRAME_BYTES]]
    rest = range(_FIRST_FRAME_BYTES, len(payload), _CONSECUTIVE_FRAME_BYTES)
    for number, start in enumerate(rest, start=1):
        frames.append(_frame(bytes((0x20 | number & 0xF,)) + payload[start : start + _CONSECUTIVE_FRAME_BYTES]))
    return tuple(frames)


def _frame(data: bytes) -> bytes:
    return data.ljust(8, bytes((_PADDING,)))


def _broken_off(payload: bytes, frames: int) -> tuple[bytes, ...]:
    whole = segmented(payload)
    if len(whole) == 1:
        return (whole[0][: 1 + len(payload) // 2],)  # announces more bytes than it has
    return whole[: min(frames, len(whole) - 1)]
