"""One PostgreSQL server process on its data folder: start, stop, crash, restart."""

import contextlib
import ctypes
import signal
import time
from pathlib import Path

from wearcast.embedded.errors import DatabaseUnavailableError, ProcessError
from wearcast.embedded.paths import service_user
from wearcast.embedded.ports import free_port
from wearcast.embedded.postgres_binaries import Binaries
from wearcast.embedded.processes import ManagedProcess

NAME = "wearcast"  # of the database and of its role
_START_SECONDS = 30.0
_START_ATTEMPTS = 5  # a program that is told its port may have taken ours
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    "timescaledb.max_background_workers": "8",
    "max_worker_processes": "19",  # TimescaleDB's, the parallel ones, and three more, as its manual asks
    "max_connections": "260",  # room for 200 clients that compete for one workshop slot, and the workers
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "jit": "off",
    "log_line_prefix": "%m [%p] ",
    "lc_messages": "C",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_IN_MEMORY = {"max_wal_size": "256MB"}
_IPC_RMID = 0  # linux/ipc.h


class Database:
    """A server. `url` is a psycopg connection string for its database, valid across `restart`."""

    def __init__(
        self,
        *,
        binaries: Binaries,
        home: Path,
        password: str,
        durable: bool,
        disposable: bool,
        in_memory: bool = False,
    ) -> None:
        self._binaries = binaries
        self._home = home
        self._password = password
        self._settings = {**_SETTINGS, **({} if durable else _NOT_DURABLE), **(_IN_MEMORY if in_memory else {})}
        # Data that is thrown away anyway need not be written out when the parent dies.
        self._end_signal = signal.SIGQUIT if disposable else signal.SIGINT
        self._port = 0
        self._process: ManagedProcess | None = None

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self._home / "data"

    @property
    def log_path(self) -> Path:
        """The server's log file."""
        return self._home / "server.log"

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return self._own().pid

    @property
    def url(self) -> str:
        """The connection string, with its password: never to be logged."""
        return self.url_of(NAME)

    def url_of(self, database: str) -> str:
        """Return the connection string of another database of this server."""
        return f"postgresql://{NAME}:{self._password}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start the server, on the port it had before if any.

        Raises DatabaseUnavailableError with the server's last words.
        """
        wait_until_ended(self.data)
        failure: ProcessError | None = None
        for _attempt in range(_START_ATTEMPTS):
            port = self._port or free_port()
            arguments = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
            process = ManagedProcess.start(
                [self._binaries.program("postgres"), "-D", self.data, "-p", str(port), *arguments],
                name="PostgreSQL",
                log_path=self.log_path,
                cwd=self._home,
                env={"LC_ALL": "C", "TZ": "UTC"},
                user=service_user(),
                death_signal=self._end_signal,
            )
            try:
                process.wait_for_line("database system is ready to accept connections", _START_SECONDS)
            except ProcessError as error:
                process.kill()
                failure = error
                time.sleep(0.2)
            else:
                self._process, self._port = process, port
                return
        raise DatabaseUnavailableError(
            f"The private database does not start: set WEARCAST_DATABASE_URL to use another. {failure}"
        ) from failure

    def kill(self) -> None:
        """Kill the postmaster with SIGKILL, as a crash would, and wait until its children have ended too."""
        process = self._own()
        children = _children(process.pid)
        process.kill()
        deadline = time.monotonic() + _START_SECONDS
        # A server that finds backends of its dead predecessor refuses to start.
        while any(_is_postgres(child) for child in children) and time.monotonic() < deadline:
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut down: in order, or at once where the data is to be thrown away."""
        self._own().stop(_START_SECONDS, with_signal=self._end_signal)

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port with the same data."""
        self.stop()
        self.start()

    def _own(self) -> ManagedProcess:
        if self._process is None:
            raise DatabaseUnavailableError("This database was not started here: control it where it was.")
        return self._process


class JoinedDatabase(Database):
    """A server that another process started and will end: it can be used, not controlled."""

    def __init__(self, *, url: str, home: Path, binaries: Binaries) -> None:
        super().__init__(binaries=binaries, home=home, password="", durable=True, disposable=False)
        self._base_url = url.rpartition("/")[0]

    def url_of(self, database: str) -> str:
        """Return the connection string of a database of the running server."""
        return f"{self._base_url}/{database}"


def wait_until_ended(data: Path, seconds: float = _START_SECONDS) -> bool:
    """Wait for a server that is shutting down in this folder; say whether none runs there any more."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return True
        if not _is_postgres(pid):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def release_shared_memory(home: Path) -> None:
    """Release the shared memory that a killed server left behind; a stopped one has left nothing."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # Line 7 of the file holds the key and the id of the segment (miscinit.c, CreateLockFile).
        segment = int((home / "data" / "postmaster.pid").read_text().split("\n")[6].split()[1])
        ctypes.CDLL(None).shmctl(segment, _IPC_RMID, None)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _is_postgres(pid: int) -> bool:
    """Say whether a server's process runs; one that has ended and was not reaped yet (a zombie) does not."""
    with contextlib.suppress(OSError):
        name, _, state = Path(f"/proc/{pid}/stat").read_text().partition(" (")[2].rpartition(") ")
        return name.startswith("postgres") and state[0] != "Z"
    return False
