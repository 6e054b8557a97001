"""Child processes that never outlive the process that started them, not even its ``kill -9``.

The kernel signals each child when its parent dies (see ``launcher``). That signal is tied to the *thread* that
forked, so one thread, which lives as long as the process, starts them all.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from wearcast.embedded.errors import ProcessError
from wearcast.embedded.paths import ServiceUser

_LAUNCHER = Path(__file__).with_name("launcher.py")
_POLL_SECONDS = 0.02


class _Spawner:
    """Forks on one thread that ends only with the process. A forked copy of the process makes a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0  # process id
        self._jobs: SimpleQueue[tuple[Future[subprocess.Popen[bytes]], list[str], dict[str, Any]]]

    def popen(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._owner != os.getpid():
                self._jobs = SimpleQueue()
                threading.Thread(target=self._run, args=(self._jobs,), name="spawner", daemon=True).start()
                self._owner = os.getpid()
        future: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((future, command, options))
        return future.result()

    @staticmethod
    def _run(jobs: "SimpleQueue[tuple[Future[subprocess.Popen[bytes]], list[str], dict[str, Any]]]") -> None:
        while True:
            future, command, options = jobs.get()
            try:
                process = subprocess.Popen(command, **options)
                future.set_result(process)
            except OSError as error:
                future.set_exception(error)


_spawner = _Spawner()


class ManagedProcess:
    """One child process, its log file, and its end. Use `start`; as a context manager it stops at the end."""

    def __init__(self, *, process: subprocess.Popen[bytes], name: str, log_path: Path, log_start: int) -> None:
        self._process = process
        self.name = name
        self.log_path = log_path
        self._log_start = log_start  # bytes; what an earlier run wrote does not count

    @classmethod
    def start(
        cls,
        args: Sequence[str | Path],
        *,
        name: str,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: ServiceUser | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> Self:
        """Start a program with its output appended to `log_path`.

        `env`: variables added to this process's own. `user`: whom to drop to (root only). `death_signal`: what
        the child gets when this process dies. The child is in a session of its own: Ctrl-C reaches only this process.
        Raises ProcessError where it cannot be started at all; a program that is not there shows in `wait_for_line`.
        """
        identity = f"{user.uid}:{user.gid}" if user is not None else "-"
        # -S as well as -I: site-packages would cost the start 20 ms.
        launch = [sys.executable, "-I", "-S", str(_LAUNCHER), str(int(death_signal)), str(os.getpid()), identity]
        try:
            with log_path.open("ab") as log:
                process = _spawner.popen(
                    [*launch, *map(str, args)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(env or {})},
                    cwd=cwd,
                    start_new_session=True,
                )
                log_start = log.tell()
        except OSError as error:
            raise ProcessError(f"{name} cannot be started: {error}.") from error
        return cls(process=process, name=name, log_path=log_path, log_start=log_start)

    @property
    def pid(self) -> int:
        """The process id, which is the program's own: the launcher becomes it."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens where it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once with SIGKILL, with whatever it started in its session, and wait until it is gone."""
        if self.alive:  # not reaped yet, so that the number is still its own
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self, timeout: float = 10.0, *, with_signal: signal.Signals = signal.SIGTERM) -> int:  # seconds
        """Ask it to end, kill it after `timeout` seconds; return its exit status."""
        if self.alive:
            self._process.send_signal(with_signal)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.wait()

    def wait(self, timeout: float | None = None) -> int:  # seconds
        """Wait for its end; return its exit status. Raises ProcessError after `timeout` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise ProcessError(f"{self.name} still runs after {timeout} s: see {self.log_path}.") from error

    def output(self) -> str:
        """Return what this run has written so far."""
        with contextlib.suppress(FileNotFoundError), self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")
        return ""

    def wait_for_line(self, pattern: str, timeout: float = 30.0) -> re.Match[str]:  # seconds
        """Wait until a line of the output matches `pattern` (searched); return the match.

        Raises ProcessError, with the end of the output, where the process ends first or `timeout` seconds pass.
        """
        expression = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        while True:
            ended = not self.alive  # asked first: what it wrote before its end still counts
            if (match := expression.search(self.output())) is not None:
                return match
            if ended or time.monotonic() > deadline:
                what = f"ended with status {self.returncode}" if ended else f"was not ready after {timeout:g} s"
                tail = " | ".join(self.output().splitlines()[-5:])
                raise ProcessError(f"{self.name} {what}; see {self.log_path}. It wrote: {tail or 'nothing'}")
            time.sleep(_POLL_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
