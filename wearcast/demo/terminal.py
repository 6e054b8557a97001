"""Whom Ctrl-C reaches."""

import contextlib
import os
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def ctrl_c_for_us_alone() -> Iterator[None]:
    """Be the terminal's foreground process group for the time of the block, as a shell makes its jobs.

    Otherwise Ctrl-C also reaches the make that started us, which then reports an interrupt whatever our exit status.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no terminal, or not ours to give away
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, terminal)
            before = os.getpgrp()
            if os.tcgetpgrp(terminal) == before and os.getpid() not in {before, os.getsid(0)}:
                os.setpgid(0, 0)
                stack.callback(os.setpgid, 0, before)
                _to_foreground(terminal, os.getpid())
                stack.callback(_to_foreground, terminal, before)
        yield


def _to_foreground(terminal: int, group: int) -> None:
    # The kernel stops who does this from the background, unless it ignores the signal (tcsetpgrp(3)).
    handler = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        with contextlib.suppress(OSError):  # the group may have ended
            os.tcsetpgrp(terminal, group)
    finally:
        signal.signal(signal.SIGTTOU, handler)
