"""Finds the bit rate of a car's bus without disturbing it (after the initialisation of ISO 15765-4, which knows two).

First the adapter only listens, where it can: valid frames prove a rate, error frames rule it out. Only at a rate that
nothing speaks against a question is asked, and the first error frame ends that too. Length of identifiers: the tester
finds that by itself, see :class:`edge_agent.tester.can.CanTester`.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import can

from edge_agent.can_bus import CanBusConfig, open_can_bus
from edge_agent.can_interfaces import interface_named, remedy
from edge_agent.errors import SourceError
from edge_agent.obd import obd_on_uds, service01
from edge_agent.tester.base import IsoTpAddress
from edge_agent.tester.can import CanTester

_log = logging.getLogger(__name__)

OBD_BIT_RATES = (500_000, 250_000)  # bit/s; ISO 15765-4, nearly every car has the first
LISTEN_S = 1.0  # a car that is awake says something every few milliseconds
_ECUS_11_BIT = tuple(IsoTpAddress(transmit_id=0x7E0 + n, receive_id=0x7E8 + n) for n in range(8))
_ENOUGH_FRAMES, _ENOUGH_ERRORS = 20, 5
_ERRORS_PER_FRAME = 0.1  # more is a wrong rate and not a disturbed line
_LOOK_S = 0.05

OpenBus = Callable[[CanBusConfig], can.BusABC]
Verdict = Literal["right", "wrong", "silent"]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What came in while listening at one rate."""

    frames: int = 0
    errors: int = 0

    @property
    def verdict(self) -> Verdict:
        """Whether the rate is that of the bus; a frame heard without error has passed its checksum."""
        if self.frames and self.errors <= self.frames * _ERRORS_PER_FRAME:
            return "right"
        return "wrong" if self.errors or self.frames else "silent"


def listen(bus: can.BusABC, listen_s: float = LISTEN_S, *, clock: Callable[[], float] = time.monotonic) -> Heard:
    """Count frames for that long, or until it is clear what they say. Sends nothing."""
    deadline = clock() + listen_s
    frames = errors = 0
    while (left_s := deadline - clock()) > 0:
        message = bus.recv(min(left_s, _LOOK_S))
        if message is not None and message.is_error_frame:
            errors += 1
        elif message is not None:
            frames += 1
        if errors >= _ENOUGH_ERRORS + frames or (frames >= _ENOUGH_FRAMES and not errors):
            break
    return Heard(frames=frames, errors=errors)


def find_bit_rate(
    config: CanBusConfig,
    *,
    rates: Sequence[int] = OBD_BIT_RATES,
    known: int | None = None,
    open_bus: OpenBus = open_can_bus,
    listen_s: float = LISTEN_S,
    timeout_s: float = 0.2,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Give the bit rate in bit/s; SourceError says what was heard, and what to do, where there is none to be found.

    ``known``: the rate found the last time. It is tried first, and believed on a bus that is silent: the car sleeps.
    ``clock``: seconds by which is listened and waited.
    """
    order = rates if known is None else (known, *(rate for rate in rates if rate != known))
    listens = interface_named(config.interface).listening is not None
    wrong: list[int] = []
    for rate in order if listens else ():
        verdict = _listen_at(replace(config, bitrate=rate, listen_only=True), open_bus, listen_s, clock)
        _log.debug("%s at %d bit/s: %s", config.name, rate, verdict)
        if verdict == "right":
            return rate
        if verdict == "wrong":
            wrong.append(rate)
        elif rate == known:
            return rate
    for rate in order:
        if rate in wrong:
            continue
        answered = _asked_at(replace(config, bitrate=rate), open_bus, listen_s, timeout_s, clock, listens=listens)
        if answered or (answered is False and rate == known):
            return rate
        if answered is None:
            wrong.append(rate)
    raise SourceError(f"{config.name}: {_nothing_found(wrong, order)}")


class BusFinder:
    """Finds the bit rate once, and remembers it in a file of the state folder for the next start.

    ``path`` None: nothing is remembered beyond this process.
    """

    def __init__(
        self,
        config: CanBusConfig,
        path: Path | None,
        *,
        open_bus: OpenBus = open_can_bus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._path = path
        self._open_bus = open_bus
        self._clock = clock
        self._rate: int | None = None

    def config(self, *, timeout_s: float = 0.2) -> CanBusConfig:
        """Where the bus is, with its bit rate; SourceError as :func:`find_bit_rate`."""
        known = self._remembered() if self._rate is None else self._rate
        rate = find_bit_rate(self._config, known=known, open_bus=self._open_bus, timeout_s=timeout_s, clock=self._clock)
        if rate != known:
            _log.info("%s has %d bit/s", self._config.name, rate)
            self._remember(rate)
        self._rate = rate
        return replace(self._config, bitrate=rate)

    def _remembered(self) -> int | None:
        rate = _read(self._path).get(self._config.name)
        return rate if isinstance(rate, int) and rate in OBD_BIT_RATES else None

    def _remember(self, rate: int) -> None:
        if self._path is None:
            return
        content = _read(self._path) | {self._config.name: rate}
        try:
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(content), encoding="utf-8")
            fresh.replace(self._path)
        except OSError as error:  # the next start looks again, which takes seconds
            _log.info("the bit rate cannot be kept in %s: %s", self._path, error.strerror)


def _read(path: Path | None) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _listen_at(config: CanBusConfig, open_bus: OpenBus, listen_s: float, clock: Callable[[], float]) -> Verdict:
    bus = open_bus(config)
    try:
        return listen(bus, listen_s, clock=clock).verdict
    except (can.CanError, OSError) as error:
        raise _gone(config, error) from error
    finally:
        bus.shutdown()


def _asked_at(
    config: CanBusConfig,
    open_bus: OpenBus,
    listen_s: float,
    timeout_s: float,
    clock: Callable[[], float],
    *,
    listens: bool,
) -> bool | None:
    """Whether an ECU answers at that rate; None when frames arrive damaged, and then nothing more is sent."""
    if not listens:  # so listen now, before anything is said
        verdict = _listen_at(config, open_bus, listen_s, clock)
        if verdict != "silent":
            return True if verdict == "right" else None
    tester = CanTester.open(
        config, _ECUS_11_BIT, functional_id=None, timeout_s=timeout_s, cautious=True, open_bus=open_bus, clock=clock
    )
    try:
        for request in (service01.request(0), obd_on_uds.request(0)):
            if tester.functional(request, expected=None, enough=1).answers:
                return True
            if tester.error_frames:
                return None
    finally:
        tester.close()
    return False


def _nothing_found(wrong: Iterable[int], order: Sequence[int]) -> str:
    rates = " and ".join(f"{rate // 1000}" for rate in order)
    damaged = [f"{rate // 1000}" for rate in order if rate in set(wrong)]
    if len(damaged) == len(order):
        return (
            f"frames arrive damaged at {rates} kbit/s; check that CAN high and low are not exchanged, the crystal of "
            "the adapter, and whether this is the diagnostic bus; it is not spoken to"
        )
    rest = f"; at {' and '.join(damaged)} frames arrive damaged" if damaged else ""
    return (
        f"silent: nothing heard and no answer at {rates} kbit/s{rest}; switch the ignition on, and check the plug "
        "(CAN high pin 6, low pin 14)"
    )


def _gone(config: CanBusConfig, error: Exception) -> SourceError:
    help_with_it = remedy(config.interface, config.channel, error)
    return SourceError(f"{config.name} is gone ({error}); check the cable and the interface: {help_with_it}")
