"""The process that holds the adapter: python-OBD opens and sets it up, then bytes go in and raw replies come out.

It decides nothing: what a reply means is for :mod:`edge_agent.tester.elm327_text`, in the parent, and what takes too
long is ended by the parent with SIGKILL (:mod:`edge_agent.tester.elm327_process`). Messages on its standard streams:

    parent to child: silence borne (ms, 2 bytes), time for all (ms, 2 bytes), length (2 bytes), command
    child to parent: kind (1 byte), length (2 bytes), content

python-OBD's decoders are left out on purpose, and with them pint: their values are not to be trusted
(docs/decisions.md), and without them this process is half as large. Imports nothing of ours and little else.
"""

import errno
import fcntl
import importlib.util
import logging
import os
import select
import signal
import struct
import sys
import time
from types import ModuleType
from typing import Any, Final

REQUEST: Final = struct.Struct(">HHH")
MESSAGE: Final = struct.Struct(">cH")
STEP, CONNECTED, FAILED = b"S", b"C", b"E"  # while it connects
# Of a reply: with its prompt; without one, but the adapter can be interrupted; garbage; hopeless; the port is gone.
REPLY, LATE, GARBAGE, STUCK, GONE = b"P", b"T", b"F", b"X", b"G"
STALE: Final = b"\x1e"  # stands between what the adapter said unasked and its reply

_PROMPT: Final = b">"
_INTERRUPT: Final = b" "  # any byte interrupts a busy ELM327, and an idle one ignores a blank
_INTERRUPT_S: Final = 0.5
_LONGEST_REPLY: Final = 60_000  # bytes; an answer of 4095 bytes takes 16,000 with blanks
_GARBAGE_BYTES: Final = 16  # so many bytes that are no text: another baud rate, or a line that picks up noise
_CONNECT_S: Final = 60  # the parent ends it much earlier; this is for a parent that is no more
_AUTO_BAUD_S: Final = 0.3  # per baud rate
_NO_TEXT: Final = bytes(n for n in range(256) if not (0x20 <= n < 0x7F or n in b"\r\n\0"))


def main() -> None:
    """Serve one adapter until the parent closes the pipe. Arguments: port, baud rate (0: find it), protocol ("")."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the parent's to answer
    signal.alarm(_CONNECT_S)
    pipe = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get among the messages
    try:
        _lock(sys.argv[1])
        port, found = _connect(sys.argv[1], int(sys.argv[2]), sys.argv[3], pipe)
    except _NotConnectedError as error:
        _tell(pipe, FAILED, str(error).encode())
        return
    signal.alarm(0)
    _tell(pipe, CONNECTED, found.encode())
    try:
        _serve(port, pipe)
    except BrokenPipeError:
        return  # the parent is no more
    except OSError as error:
        _tell(pipe, GONE, (error.strerror or str(error)).encode())


class _NotConnectedError(Exception):
    """The text is the reason."""


class _Steps(logging.Handler):
    """python-OBD's log as it connects: each command it sends is a step, its last complaint the reason of a failure."""

    def __init__(self, pipe: int) -> None:
        super().__init__(logging.DEBUG)
        self._pipe = pipe
        self.complaint = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self.complaint = text
        elif text.startswith(("write: ", "Response from baud")):
            _tell(self._pipe, STEP, text.encode())


def _lock(name: str) -> None:
    """Keep a second agent or command off a serial port: both would read half of each answer. Held until the end."""
    if "://" in name:
        return  # on the network the adapter itself takes one connection
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return  # python-OBD says why it cannot be opened
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _NotConnectedError("another program uses it; stop the agent, or whatever it is, first") from None


def _connect(name: str, baud: int, protocol: str, pipe: int) -> tuple[Any, str]:
    """The open port of an adapter that is set up, and the number of the protocol the car speaks ("" if none yet)."""
    library = _connection_of_python_obd()
    steps = _Steps(pipe)
    log = logging.getLogger("obd")
    log.addHandler(steps)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    # Without its check of the voltage: adapters that cannot measure it would not be taken.
    adapter = library.ELM327(name, baud or None, protocol or None, _AUTO_BAUD_S, check_voltage=False)
    log.setLevel(logging.CRITICAL)
    port = adapter._ELM327__port  # noqa: SLF001 - it has no way to send and get the untouched reply
    if port is None or adapter.status() == library.OBDStatus.NOT_CONNECTED:
        raise _NotConnectedError(steps.complaint or "the adapter cannot be set up")
    found = adapter.protocol_id() if adapter.status() == library.OBDStatus.CAR_CONNECTED else ""
    return port, found


def _connection_of_python_obd() -> Any:
    """Its module of the connection alone: the package's own start would load decoders, pint, and numpy if installed."""
    spec = importlib.util.find_spec("obd")
    if spec is None or spec.submodule_search_locations is None:
        raise _NotConnectedError("python-OBD is not installed; 'pip install wearcast[elm327]' brings it")
    package = ModuleType("obd")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["obd"] = package
    import obd.elm327

    return obd.elm327


def _serve(port: Any, pipe: int) -> None:
    line = _Line(port.fileno())
    pending = b""
    while True:
        data = os.read(0, 4096)
        if not data:
            return  # the parent has closed the pipe, or is no more
        pending += data
        while len(pending) >= REQUEST.size:
            silence_ms, within_ms, length = REQUEST.unpack_from(pending)
            if len(pending) < REQUEST.size + length:
                break
            command = pending[REQUEST.size : REQUEST.size + length]
            pending = pending[REQUEST.size + length :]
            kind, content = line.ask(command, silence_ms / 1000, within_ms / 1000)
            _tell(pipe, kind, content)


class _Line:
    """The serial line or socket, read and written without the layers between."""

    def __init__(self, descriptor: int) -> None:
        self._line = descriptor
        os.set_blocking(descriptor, False)
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLIN)

    def ask(self, command: bytes, silence_s: float, within_s: float) -> tuple[bytes, bytes]:
        """Write a command, read up to the prompt."""
        deadline = time.monotonic() + within_s
        stale = self._read(0.0) or b""
        self._write(command + b"\r", deadline)
        kind, reply = self._until_prompt(silence_s, deadline)
        if kind != REPLY:
            self._write(_INTERRUPT, deadline + _INTERRUPT_S)
            ended, rest = self._until_prompt(_INTERRUPT_S, time.monotonic() + _INTERRUPT_S)
            kind, reply = kind if ended == REPLY else STUCK, reply + rest
        if stale:
            reply = stale + STALE + reply
        return kind, reply[:_LONGEST_REPLY]

    def _until_prompt(self, silence_s: float, deadline: float) -> tuple[bytes, bytes]:
        reply = b""
        while True:
            data = self._read(min(silence_s, deadline - time.monotonic()))
            if data is None:
                return LATE, reply
            reply += data
            if len(reply) - len(reply.translate(None, _NO_TEXT)) > _GARBAGE_BYTES or len(reply) > _LONGEST_REPLY:
                return GARBAGE, reply
            if _PROMPT in data:
                return REPLY, reply

    def _read(self, timeout_s: float) -> bytes | None:
        """What has come, waiting for it; None in time for nothing."""
        if not self._ready.poll(max(0.0, timeout_s) * 1000):
            return None
        try:
            data = os.read(self._line, 4096)
        except BlockingIOError:
            return None
        if not data:  # a serial line that was unplugged is readable and gives nothing
            raise OSError(errno.EIO, "it was unplugged or closed the connection")
        return data

    def _write(self, data: bytes, deadline: float) -> None:
        while data:
            try:
                data = data[os.write(self._line, data) :]
            except BlockingIOError:  # the far end does not take it
                if time.monotonic() >= deadline:
                    return
                time.sleep(0.01)


def _tell(pipe: int, kind: bytes, content: bytes) -> None:
    data = MESSAGE.pack(kind, len(content)) + content
    while data:
        data = data[os.write(pipe, data) :]


if __name__ == "__main__":
    main()
