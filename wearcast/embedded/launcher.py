"""Becomes another program, one that dies with its parent: ``launcher.py SIGNAL PARENT UID:GID COMMAND ARGUMENT…``.

Run as a file by the interpreter in isolated mode, because it must cost nothing: it imports no package.
PR_SET_PDEATHSIG is cleared when credentials change, so privileges are dropped first; it survives the exec of a
program that is not set-user-ID (prctl(2)). ``-`` instead of UID:GID keeps the user.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Drop privileges, tie this process to its parent, and exec the command."""
    death_signal, parent, user, *command = arguments
    if user != "-":
        uid, gid = map(int, user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):  # it died before the signal was armed
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming the command is this file's purpose
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
