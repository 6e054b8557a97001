"""A disk that can be full at once: a tmpfs whose size is set to what is on it.

Mounted in a mount namespace of our own, so that it is gone with this process, whatever ends it. That takes root: where
we are not, a database cannot be filled, and the report says that this kind was left out.
"""

import ctypes
import os
import subprocess
from pathlib import Path
from typing import Final

_CLONE_NEWNS: Final = 0x00020000  # linux/sched.h
_ROOMY: Final = "4g"


def own_mounts() -> bool:
    """Move this process into a mount namespace of its own, before it has threads; whether that was allowed."""
    if os.geteuid() != 0:
        return False
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        return False
    return _run("mount", "--make-rprivate", "/")


class SmallDisk:
    """A mounted tmpfs; a server killed with SIGKILL finds its files on it again, as in the page cache."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.mounted = _run("mount", "-t", "tmpfs", "-o", f"size={_ROOMY},mode=0777", "tmpfs", str(folder))

    def fill(self) -> None:
        """Leave no block free: each write that needs one fails with ENOSPC."""
        state = os.statvfs(self.folder)
        used = (state.f_blocks - state.f_bfree) * state.f_frsize
        # A write may take a block between the two: then the smaller size is refused, and asked for anew.
        while not _run("mount", "-o", f"remount,size={used}", str(self.folder)):
            used += state.f_frsize

    def empty(self) -> None:
        """Give the room back."""
        assert _run("mount", "-o", f"remount,size={_ROOMY}", str(self.folder))

    def close(self) -> None:
        """Unmount it."""
        _run("umount", "--lazy", str(self.folder))


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
