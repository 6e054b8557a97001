"""Keeps the process that holds the adapter under a deadline: started, asked, and killed when it takes too long."""

import importlib.util
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.tester import elm327_child as child

_log = logging.getLogger(__name__)

CONNECT_S: Final = 20.0  # all of it: six baud rates, a reset, the search of a protocol; systemd's watchdog allows 30 s
_STEP_S: Final = 4.0  # one step of it; python-OBD waits 10 s for a byte, and ten times over
_SEARCH_STEP_S: Final = 15.0  # of the step that makes the adapter look for the car's protocol
_AGAIN_S: Final = 5.0  # a port that is there is tried again so often
_MARGIN_S: Final = 1.0  # over what the process itself keeps to, before it is killed
_STOP_S: Final = 1.0
_QUOTE: Final = 40  # characters


class AdapterStuckError(Exception):
    """The adapter did not end its reply, or the process did not answer and was killed; the text says which."""


class LateReplyError(Exception):
    """The adapter did not end its reply in time and could be interrupted: it is alive."""


class AdapterProcess:
    """One life of the process: from connecting to its end. Used by one thread."""

    def __init__(self, port: str, baud: int | None) -> None:
        self.port = port
        self.baud = baud
        self.protocol = ""  # as ELM327 numbers them; "" as long as no car has answered; once known, no longer searched
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""
        self._ready = select.poll()

    @property
    def pid(self) -> int | None:
        """The process, None if there is none."""
        return self._process.pid if self._process is not None else None

    def start(self, connect_s: float = CONNECT_S) -> None:
        """Start the process and let it connect; SourceError says what is wrong with the adapter."""
        self.stop()
        if importlib.util.find_spec("obd") is None:
            raise ConfigurationError("ELM327 adapters need python-OBD; install it with: pip install 'wearcast[elm327]'")
        self._received = b""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            # not by -m: runpy costs memory
            [
                sys.executable,
                "-c",
                f"from {child.__name__} import main; main()",
                self.port,
                str(self.baud or 0),
                self.protocol,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            bufsize=0,
        )
        assert self._process.stdout is not None
        self._ready = select.poll()
        self._ready.register(self._process.stdout, select.POLLIN)
        try:
            self._connect(time.monotonic() + connect_s)
        except AdapterStuckError as error:
            self.stop(at_once=True)
            raise self.gone(str(error)) from None
        except BaseException:
            self.stop(at_once=True)
            raise

    def ask(self, command: str, silence_s: float, within_s: float) -> str:
        """Send a command, give the raw reply up to the prompt: in time, and without a longer silence in it.

        Raises LateReplyError; AdapterStuckError after which it must be started again; SourceError if it is gone.
        """
        if self._process is None or self._process.stdin is None:
            raise AdapterStuckError("the adapter is not connected")
        data = command.encode("ascii")
        try:
            self._process.stdin.write(
                child.REQUEST.pack(round(silence_s * 1000), round(within_s * 1000), len(data)) + data
            )
        except BrokenPipeError:
            self.stop()
            raise AdapterStuckError("the process that holds the adapter has ended") from None
        kind, content = self._message(time.monotonic() + within_s + _MARGIN_S)
        if kind == child.REPLY:
            return content
        if kind == child.LATE:
            raise LateReplyError(f"the adapter did not end its reply in time{_quoted(content)}")
        self.stop()
        if kind == child.GONE:
            raise self.gone(content)
        if kind == child.GARBAGE:
            raise AdapterStuckError(f"the adapter sends garbage{_quoted(content)}: another baud rate, or a bad line?")
        raise AdapterStuckError(f"the adapter gave no prompt in time and is not to be interrupted{_quoted(content)}")

    def stop(self, *, at_once: bool = False) -> None:
        """End the process: it closes the port by itself, and is killed if it does not (or ``at_once``)."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(0 if at_once else _STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:  # in a driver that hangs, no signal ends it; the agent must go on
                _log.warning("The process that holds the adapter at %s is stuck in its driver", self.port)
        process.stdout.close()

    def gone(self, reason: str) -> SourceError:
        """The error that the adapter cannot be used, with a cheap look whether it may be there again."""
        hint = "is it plugged in, powered and paired, and may this user open the port (group dialout)?"
        if "://" in self.port:
            hint = "is it powered, is this machine in its network, and is nobody else connected to it?"
        return SourceError(f"ELM327 adapter at {self.port}: {reason}; {hint}", returned=_returned(self.port))

    def _connect(self, deadline: float) -> None:
        step = "opening the port"
        while True:
            within_s = _SEARCH_STEP_S if "0100" in step else _STEP_S
            try:
                kind, content = self._message(min(deadline, time.monotonic() + within_s))
            except AdapterStuckError as error:
                raise AdapterStuckError(f"{error}; the last step was {step}: another baud rate?") from None
            if kind == child.CONNECTED:
                self.protocol = content
                return
            if kind == child.FAILED:
                raise AdapterStuckError(f"cannot be set up ({content})")
            step = content.removeprefix("write: b'").removesuffix("\\r'")  # as python-OBD logs what it sends

    def _message(self, deadline: float) -> tuple[bytes, str]:
        """The next message of the process; AdapterStuckError if it does not come in time: the process is killed."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        while True:
            if len(self._received) >= child.MESSAGE.size:
                kind, length = child.MESSAGE.unpack_from(self._received)
                end = child.MESSAGE.size + length
                if len(self._received) >= end:
                    content = self._received[child.MESSAGE.size : end].decode("latin-1")
                    self._received = self._received[end:]
                    return kind, content
            left_s = max(0.0, deadline - time.monotonic())  # what lies ready is in time, even if this process was late
            if not self._ready.poll(left_s * 1000):
                self.stop(at_once=True)
                raise AdapterStuckError("the adapter does not answer; the process that holds it was ended")
            data = os.read(process.stdout.fileno(), 65_536)
            if not data:
                self.stop()
                raise AdapterStuckError("the process that holds the adapter has ended")
            self._received += data


def _quoted(content: str) -> str:
    """What came, for an error: printable and short."""
    if not content:
        return " (nothing came)"
    return f" ({content[:_QUOTE].encode('ascii', 'backslashreplace').decode()!r} came)"


def _returned(port: str) -> Callable[[], bool]:
    """Whether it makes sense to open the port again: it has appeared anew, or some time has passed.

    Of an adapter on the network only the latter is known without disturbing it: most take one connection.
    """
    since, before = time.monotonic(), _identity(port)

    def look() -> bool:
        now = _identity(port)
        if now is None and "://" not in port:
            return False
        return now != before or time.monotonic() - since >= _AGAIN_S

    return look


def _identity(port: str) -> tuple[int, int, int] | None:
    """Device, inode and number of what the path names now: another one once it was unplugged and came back."""
    try:
        found = Path(port).stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_rdev
