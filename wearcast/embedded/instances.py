"""The folder of one running service: kept under its name, or fresh and deleted at the end.

A lock that the kernel drops with the process tells whether somebody still uses a folder.
"""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from wearcast.embedded.errors import EmbeddedError
from wearcast.embedded.paths import ServiceUser, locked, make_folder, open_lock, try_lock

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")


@contextlib.contextmanager
def instance_home(
    base: Path,
    name: str,
    *,
    fresh: bool,
    owner: ServiceUser | None = None,
    may_remove: Callable[[Path], bool] = lambda _home: True,
) -> Iterator[tuple[Path, bool]]:
    """Give a folder below `base` for the time of the block, and whether it is ours alone.

    A fresh one always is, and is deleted at the end; so are those of killed processes, where `may_remove` agrees.
    A kept one is not while another process uses it.
    """
    if not _NAME.fullmatch(name):
        raise EmbeddedError(f"{name!r} cannot name an instance: use small letters, digits, - and _.")
    parent = make_folder(base / ("fresh" if fresh else "instances"), owner=owner)
    with contextlib.ExitStack() as stack:
        # Held while a folder is made and locked, so that nobody sweeps it away in between.
        with locked(base / "instances.lock"):
            if fresh:
                _sweep(parent, may_remove)
                home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
            else:
                home = parent / name
            make_folder(home, owner=owner)
            is_ours = try_lock(stack.enter_context(open_lock(home / "lock")))
        try:
            yield home, is_ours
        finally:
            if fresh:
                shutil.rmtree(home, ignore_errors=True)


def sweep(base: Path, may_remove: Callable[[Path], bool]) -> None:
    """Delete the fresh folders below `base` that killed processes left, where `may_remove` agrees."""
    if (base / "fresh").is_dir():
        with locked(base / "instances.lock"):
            _sweep(base / "fresh", may_remove)


def _sweep(parent: Path, may_remove: Callable[[Path], bool]) -> None:
    for home in parent.iterdir():
        try:
            with open_lock(home / "lock") as lock:
                if try_lock(lock) and may_remove(home):
                    shutil.rmtree(home, ignore_errors=True)
        except EmbeddedError as error:
            # Whose it was deletes it without the lock of all folders: it may have gone since they were listed.
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
