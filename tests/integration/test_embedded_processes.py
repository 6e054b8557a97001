"""Child processes end with their parent, however that ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from wearcast.embedded.errors import ProcessError
from wearcast.embedded.processes import ManagedProcess

PARENT = """
import signal, sys, threading, time
from pathlib import Path
from wearcast.embedded.processes import ManagedProcess
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background ignores it,
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # or this one (nohup), and so would the process
started = []
def start():
    started.append(ManagedProcess.start(["sleep", "600"], name="child", log_path=Path(sys.argv[1])))
thread = threading.Thread(target=start)
thread.start()
thread.join()
print(started[0].pid, flush=True)
time.sleep(600)
"""


def running(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it goes between opening and reading
        return False


def ends(pid: int, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not running(pid)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_child_started_from_a_finished_thread_lives_and_dies_with_the_process(
    tmp_path: Path, end: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.3)
        assert running(child), "the end of the thread that asked for it must not end the child"
        parent.send_signal(end)
        parent.wait()
        assert ends(child)


def test_output_is_seen_line_by_line_and_only_of_this_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("ready on port 1\n")
    with ManagedProcess.start(
        ["sh", "-c", "sleep 600 & echo ready on port 4711; wait"], name="server", log_path=log
    ) as process:
        assert process.wait_for_line(r"ready on port (\d+)", 60)[1] == "4711"
        assert process.alive
        (grandchild,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        process.kill()
        assert ends(grandchild)
        assert process.returncode == -signal.SIGKILL
        assert not process.alive


def test_a_program_that_ends_before_it_is_ready_gives_its_last_words(tmp_path: Path) -> None:
    process = ManagedProcess.start(["sh", "-c", "echo no disk left; exit 3"], name="server", log_path=tmp_path / "log")
    with pytest.raises(ProcessError, match=r"server ended with status 3; .*no disk left"):
        process.wait_for_line("ready", 60)


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    process = ManagedProcess.start(["/nonexistent/server"], name="server", log_path=tmp_path / "log")
    with pytest.raises(ProcessError, match="/nonexistent/server cannot be started"):
        process.wait_for_line("ready", 60)


def test_a_program_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    process = ManagedProcess.start(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], name="deaf", log_path=tmp_path / "log"
    )
    process.wait_for_line("ready", 60)
    assert process.stop(0.2) == -signal.SIGKILL


def test_children_get_the_environment_and_a_session_of_their_own(tmp_path: Path) -> None:
    with ManagedProcess.start(
        ["sh", "-c", "echo value $WEARCAST_PROBE; exec sleep 600"],
        name="child",
        log_path=tmp_path / "log",
        env={"WEARCAST_PROBE": "17"},
    ) as process:
        process.wait_for_line("value 17", 60)
        assert os.getsid(process.pid) == process.pid


def test_many_threads_may_start_children_at_once(tmp_path: Path) -> None:
    started: list[ManagedProcess] = []

    def start(number: int) -> None:
        started.append(
            ManagedProcess.start(["sleep", "600"], name=f"child {number}", log_path=tmp_path / f"{number}.log")
        )

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({process.pid for process in started}) == 8
    for process in started:
        process.stop()
