"""What can be seen of a parked car without a word to it: its bus, a voltage, an ignition line. Nothing here decides.

Nothing here can send a frame either: the bus is only received from; an ELM327 is asked for the voltage at its own pin
(``AT RV``), which stays between it and this end.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from edge_agent.errors import SourceError
from edge_agent.power.records import Seen

if TYPE_CHECKING:  # python-can is loaded where there is a bus
    import can

    from edge_agent.can_bus import CanBusConfig

log = logging.getLogger(__name__)

_FRAMES_AT_ONCE: Final = 256  # a busy bus is busy: counting on would only cost this end charge
_REOPEN_S: Final = 30.0
_ADAPTER_EVERY_S: Final = 5.0
_ADAPTER_ANSWER_S: Final = 1.0
_VOLTAGE_TEXT: Final = re.compile(rb"(\d{1,2}\.\d)\s*V")
_SANE_V: Final = (5.0, 36.0)


class Watch(Protocol):
    """Looks at a parked car. Blocking, within a bound; used by one thread."""

    def glance(self) -> Seen:
        """What sensors of the dongle's own say, at once and beside a source that talks: ignition line, voltage."""
        ...

    def look(self, timeout_s: float) -> Seen:
        """Everything seen within that time; to be called only while nobody talks to the car."""
        ...

    def close(self) -> None:
        """Let go of bus and adapter, so that a source can have them; may be called twice."""
        ...


class Voltmeter(Protocol):
    """Measures the 12 V system."""

    def read(self) -> float | None:
        """Volts; None where that failed."""
        ...

    def close(self) -> None:
        """Let go of it; opened again by the next read."""
        ...


@dataclass(kw_only=True)
class FileVoltmeter:
    """A voltage that the kernel gives in a file, such as an ADC of the industrial I/O subsystem."""

    path: Path
    scale: float = 1.0  # volts per count
    _told: bool = False

    def read(self) -> float | None:
        """Volts; a file that cannot be read or is no number is told once."""
        try:
            volts = float(self.path.read_text(encoding="ascii")) * self.scale
        except (OSError, ValueError) as error:
            if not self._told:
                log.warning("power.voltage: %s gives no voltage (%s); the plan goes on without", self.path, error)
            self._told = True
            return None
        return volts if _SANE_V[0] <= volts <= _SANE_V[1] else None

    def close(self) -> None:
        """Nothing to let go of."""


class AdapterPort(Protocol):
    """The part of a serial port that is used."""

    def write(self, data: bytes, /) -> int | None:
        """Send bytes."""
        ...

    def read_until(self, expected: bytes, /) -> bytes:
        """Bytes up to these, or to the port's time-out."""
        ...

    def reset_input_buffer(self) -> None:
        """Forget what was not read."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Elm327Voltmeter:
    """The voltage an ELM327 measures at its own pin."""

    def __init__(self, connect: Callable[[], AdapterPort], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """``connect`` opens the port with a read time-out, or raises OSError."""
        self._connect = connect
        self._monotonic = monotonic
        self._port: AdapterPort | None = None
        self._next = float("-inf")

    def read(self) -> float | None:
        """Volts, every few seconds; None in between, and where the adapter does not answer."""
        now = self._monotonic()
        if now < self._next:
            return None
        self._next = now + _ADAPTER_EVERY_S
        try:
            if self._port is None:
                self._port = self._connect()
                self._port.write(b"\r")  # ends what a former command left open; the answer does not matter
                self._port.read_until(b">")
            self._port.reset_input_buffer()
            self._port.write(b"ATRV\r")
            found = _VOLTAGE_TEXT.search(self._port.read_until(b">"))
        except OSError as error:
            log.debug("the adapter gives no voltage: %s", error)
            self.close()
            self._next = now + _REOPEN_S
            return None
        volts = None if found is None else float(found[1])
        return volts if volts is not None and _SANE_V[0] <= volts <= _SANE_V[1] else None

    def close(self) -> None:
        """Give the port back."""
        port, self._port = self._port, None
        self._next = float("-inf")
        if port is not None:
            port.close()


def serial_adapter(port: str, baud: int) -> Callable[[], AdapterPort]:
    """How an adapter on a serial line, or at ``socket://host:port``, is opened."""

    def connect() -> AdapterPort:
        import serial  # only where there is such an adapter

        opened: AdapterPort = serial.serial_for_url(port, baudrate=baud, timeout=_ADAPTER_ANSWER_S)
        return opened

    return connect


@dataclass(frozen=True, kw_only=True)
class IgnitionLine:
    """A line that is on with the ignition, as a file: ``/sys/class/gpio/…/value``. ``on`` is what it then holds."""

    path: Path
    on: str = "1"

    def read(self) -> bool | None:
        """Whether it is on; None where it cannot be read."""
        try:
            return self.path.read_text(encoding="ascii").strip() == self.on
        except OSError as error:
            log.debug("the ignition line cannot be read: %s", error)
            return None


class CarWatch:
    """Bus, voltmeter and ignition line, as far as there are any."""

    def __init__(
        self,
        *,
        bus: "Callable[[], CanBusConfig] | None" = None,
        voltmeter: Voltmeter | None = None,
        line: IgnitionLine | None = None,
        wait: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``bus``: asked each time it is opened; ``wait`` lets time pass where there is no bus to listen to."""
        self._where = bus
        self._voltmeter = voltmeter
        self._line = line
        self._wait = wait
        self._monotonic = monotonic
        self._bus: can.BusABC | None = None
        self._reopen_at = float("-inf")

    def glance(self) -> Seen:
        """Sensors of the dongle's own; an adapter's voltmeter is the source's while that talks."""
        voltmeter = self._voltmeter if isinstance(self._voltmeter, FileVoltmeter) else None
        return Seen(
            ignition=None if self._line is None else self._line.read(),
            voltage=None if voltmeter is None else voltmeter.read(),
        )

    def look(self, timeout_s: float) -> Seen:
        """Listen for that time; voltage and line at its end."""
        frames = self._listen(timeout_s)
        return Seen(
            frames=frames,
            ignition=None if self._line is None else self._line.read(),
            voltage=None if self._voltmeter is None else self._voltmeter.read(),
        )

    def close(self) -> None:
        """Let go of bus and adapter."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.shutdown()
        if self._voltmeter is not None:
            self._voltmeter.close()

    def _listen(self, timeout_s: float) -> int | None:
        """Frames heard; None where no bus can be listened to."""
        bus = self._open_bus()
        if bus is None:
            self._wait(timeout_s)
            return None
        import can

        until = self._monotonic() + timeout_s
        frames = 0
        try:
            while (rest := until - self._monotonic()) > 0:
                if frames < _FRAMES_AT_ONCE:
                    frames += bus.recv(rest) is not None
                else:
                    self._wait(rest)
        except (can.CanError, OSError) as error:
            log.warning("the bus of the parked car is gone (%s); looking for it again in %.0f s", error, _REOPEN_S)
            self.close()
            self._reopen_at = self._monotonic() + _REOPEN_S
        return frames

    def _open_bus(self) -> "can.BusABC | None":
        if self._bus is None and self._where is not None and self._monotonic() >= self._reopen_at:
            from edge_agent.can_bus import open_can_bus

            try:
                self._bus = open_can_bus(self._where())
            except SourceError as error:
                log.warning("the parked car's bus cannot be listened to: %s", error)
                self._reopen_at = self._monotonic() + _REOPEN_S
        return self._bus
