"""A virtual ELM327: the AT dialect of such adapters in front of a virtual car's ECUs. No input or output, no clock.

Made after the ELM327 data sheet (Elm Electronics) and after what cheap adapters that call themselves "v1.5" do. What
a command makes it write, and how long that takes: :class:`Written`. Ports: :mod:`edge_agent.virtual_car.elm327_port`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edge_agent.tester.can import FUNCTIONAL_11_BIT
from edge_agent.virtual_car.disturb import Reply, segmented
from edge_agent.virtual_car.responder import Responder

PROTOCOLS: Final[Mapping[tuple[int, int], str]] = {  # identifier bits, bit/s -> its number
    (11, 500_000): "6",
    (29, 500_000): "7",
    (11, 250_000): "8",
    (29, 250_000): "9",
}
_ST_UNIT_S: Final = 0.004
_DEFAULT_ST: Final = 0x32
_SHORTEST_ADAPTIVE_S: Final = 0.03
_LONGEST_REQUEST: Final = 7  # bytes: one frame
_SEARCH_S: Final = 0.2  # real adapters take seconds, more so without a car
_UNKNOWN: Final = "?"


@dataclass(frozen=True, kw_only=True)
class Written:
    """What the adapter writes in answer to a line, and seconds until it has written it."""

    text: str
    after_s: float = 0.0


@dataclass(kw_only=True)
class _Settings:
    """What ATZ sets back."""

    echo: bool = True
    linefeeds: bool = True
    headers: bool = False
    spaces: bool = True
    timeout: int = _DEFAULT_ST  # of 4 ms
    adaptive: bool = True
    header: int | None = None  # low 24 bits of a 29-bit identifier, or an 11-bit one; None: all OBD ECUs
    priority: int = 0x18  # upper bits of a 29-bit identifier
    receive: int | None = None
    flow_mode: int = 0
    flow_header: int | None = None


@dataclass(kw_only=True)
class VirtualElm327:
    """One adapter in one car.

    ``lacks``: commands it answers with a question mark, as regular expressions ("ATFC.*", "ATCRA").
    ``ecu_latency_s``: what an ECU takes to answer. ``nobody``: what it says when no ECU answers.
    """

    responder: Responder
    protocol: str = "6"
    version: str = "ELM327 v2.1"
    lacks: frozenset[str] = frozenset()
    ecu_latency_s: float = 0.0
    nobody: str = "NO DATA"
    voltage: Callable[[], float] = lambda: 12.6
    commands: list[str] = field(default_factory=list)  # everything it was told, for tests
    _set: _Settings = field(init=False, default_factory=_Settings)
    _chosen: str = field(init=False, default="0")  # by AT SP or AT TP; 0: whatever the car speaks
    _found: bool = field(init=False, default=False)
    _last: str = field(init=False, default="")

    def banner(self) -> str:
        """Start anew, as after its supply was cut: all settings are lost."""
        self._set = _Settings()
        self._found = False
        return f"\r\r{self.version}\r\r>"

    def command(self, line: str) -> Written:
        """Take a line as it was typed, without its carriage return."""
        word = re.sub(r"[\s\0\x7f]", "", line).upper() or self._last
        self._last = word
        self.commands.append(word)
        echo = f"{line}\r" if self._set.echo else ""
        if word in {"ATZ", "ATWS"}:
            return Written(text=echo + self.banner())
        if any(re.fullmatch(lacking, word) for lacking in self.lacks):
            written = Written(text=_UNKNOWN)
        elif word.startswith("AT"):
            written = Written(text=self._setting(word[2:]))
        elif re.fullmatch(r"[0-9A-F]{2,}", word):
            written = self._request(word)
        else:
            written = Written(text=_UNKNOWN)
        text = f"{echo}{written.text}\r\r>"
        return Written(text=text.replace("\r", "\r\n") if self._set.linefeeds else text, after_s=written.after_s)

    def _setting(self, word: str) -> str:
        now = self._set
        for pattern, attribute, values in _SWITCHES:
            if match := re.fullmatch(pattern, word):
                setattr(now, attribute, values[match[1]])
                return "OK"
        if word in {"I", "@1"}:
            return self.version if word == "I" else "OBDII to RS232 Interpreter"
        if word in {"CAF1", "CFC1", "M0", "M1", "AL", "NL"}:
            return "OK"  # as it is anyway
        if word == "RV":
            return f"{self.voltage():.1f}V"
        if word == "D":
            self._set = _Settings()
            return "OK"
        if match := re.fullmatch(r"[ST]PA?([0-9A-C])", word):
            self._chosen, self._found = match[1], False
            self._set.header = self._set.receive = None
            return "OK"
        if word == "DPN":
            return ("A" if self._chosen == "0" else "") + (self.protocol if self._found else self._chosen)
        if word == "PC":
            self._found = False
            return "OK"
        if match := re.fullmatch(r"ST([0-9A-F]{2})", word):
            now.timeout = int(match[1], 16) or _DEFAULT_ST
            return "OK"
        return self._address(word)

    def _address(self, word: str) -> str:
        now = self._set
        if match := re.fullmatch(r"SH([0-9A-F]{3}|[0-9A-F]{6})", word):
            now.header = int(match[1], 16)
        elif match := re.fullmatch(r"CP([0-9A-F]{2})", word):
            now.priority = int(match[1], 16)
        elif match := re.fullmatch(r"CRA([0-9A-F]{3}|[0-9A-F]{8})", word):
            now.receive = int(match[1], 16)
        elif word in {"CRA", "AR"}:
            now.receive = None
        elif match := re.fullmatch(r"FCSH([0-9A-F]{3}|[0-9A-F]{8})", word):
            now.flow_header = int(match[1], 16)
        elif re.fullmatch(r"FCSD(?:[0-9A-F]{2}){1,5}", word):
            pass
        elif match := re.fullmatch(r"FCSM([0-2])", word):
            if match[1] != "0" and now.flow_header is None:
                return _UNKNOWN  # header and data come first
            now.flow_mode = int(match[1])
        else:
            return _UNKNOWN
        return "OK"

    def _request(self, word: str) -> Written:
        count = int(word[-1], 16) if len(word) % 2 else 0
        payload = bytes.fromhex(word[: len(word) & ~1])
        if len(payload) > _LONGEST_REQUEST:
            return Written(text=_UNKNOWN)
        searching = "" if self._found else "SEARCHING...\r" if self._chosen == "0" else ""
        extra_s = 0.0 if self._found else _SEARCH_S
        if self._chosen not in {"0", self.protocol}:
            return Written(text=f"{searching}CAN ERROR", after_s=extra_s)
        identifier, timeout_s = self._identifier(), self._set.timeout * _ST_UNIT_S
        wait_s = min(timeout_s, max(_SHORTEST_ADAPTIVE_S, 3 * self.ecu_latency_s)) if self._set.adaptive else timeout_s
        lines: list[str] = []
        now_s = heard_s = 0.0
        for reply in sorted(self.responder.asked(identifier, payload), key=lambda r: r.delay_s):
            now_s = reply.delay_s + self.ecu_latency_s
            if not self._received(reply.identifier):
                continue
            if now_s > heard_s + wait_s:
                break
            heard_s = now_s
            lines.extend(self._line(reply.identifier, frame) for frame in self._frames(reply))
            if count and len(lines) >= count:
                lines = lines[:count]
                wait_s = 0.0
                break
        if not lines:
            unheard = self.nobody if self._found else "UNABLE TO CONNECT"
            return Written(text=searching + unheard, after_s=extra_s + wait_s)
        self._found = True
        return Written(text=searching + "\r".join(lines), after_s=extra_s + heard_s + wait_s)

    def _identifier(self) -> int:
        now = self._set
        if now.header is None:
            return self.responder.functional_id
        return now.header if self._short else now.priority << 24 | now.header

    @property
    def _short(self) -> bool:
        return self.responder.functional_id == FUNCTIONAL_11_BIT

    def _received(self, identifier: int) -> bool:
        if self._set.receive is not None:
            return identifier == self._set.receive
        return identifier & 0x7F8 == 0x7E8 if self._short else identifier & 0x1FFFFF00 == 0x18DAF100

    def _frames(self, reply: Reply) -> tuple[bytes, ...]:
        """What of a reply comes: after a first frame only if the right flow control was sent."""
        if reply.frames is not None:
            return reply.frames
        frames = segmented(reply.payload)
        if len(frames) == 1 or self._set.flow_mode == 0:
            standard = identifier_of_request(reply.identifier) is not None
            return frames if len(frames) == 1 or standard else frames[:1]
        right = any(
            address.receive_id == self._set.flow_header
            for address in self.responder.addresses
            if address.transmit_id == reply.identifier
        )
        return frames if right else frames[:1]

    def _line(self, identifier: int, frame: bytes) -> str:
        blank = " " if self._set.spaces else ""
        if (
            not self._set.headers
        ):  # then without length and padding; long answers have line numbers, which nobody needs here
            return "".join(f"{byte:02X}{blank}" for byte in frame[1 : 1 + (frame[0] & 0x0F)])
        data = blank.join(f"{byte:02X}" for byte in frame)
        if self._short:
            return f"{identifier:03X}{blank}{data}{blank}"
        return blank.join(f"{identifier:08X}"[at : at + 2] for at in range(0, 8, 2)) + f"{blank}{data}{blank}"


def identifier_of_request(identifier: int) -> int | None:
    """Whom the adapter's automatic flow control goes to after a first frame with this identifier (ISO 15765-4)."""
    if 0x7E8 <= identifier <= 0x7EF:
        return identifier - 8
    if identifier & 0x1FFFFF00 == 0x18DAF100:
        return 0x18DA00F1 | (identifier & 0xFF) << 8
    return None


_ON: Final = {"0": False, "1": True}
_SWITCHES: Final[tuple[tuple[str, str, Mapping[str, object]], ...]] = (
    (r"E([01])", "echo", _ON),
    (r"L([01])", "linefeeds", _ON),
    (r"H([01])", "headers", _ON),
    (r"S([01])", "spaces", _ON),
    (r"AT([012])", "adaptive", {"0": False, "1": True, "2": True}),
)
