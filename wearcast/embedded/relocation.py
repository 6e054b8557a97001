"""Makes programs of unpacked Debian packages run from where they are, whatever the machine's own libraries are."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from wearcast.embedded.errors import EmbeddedError


def relocate(root: Path, programs: Iterable[Path]) -> None:
    """Make the programs use the C library and the libraries below `root`; what is no ELF file is left as it is.

    DT_RPATH, not DT_RUNPATH: it holds also for what the libraries and the extensions load in turn (ld.so(8)).
    Raises EmbeddedError.
    """
    loader = next(
        iter(sorted(root.glob("usr/lib/*/ld-linux-*.so.*")) or sorted(root.glob("usr/lib*/ld-linux-*"))), None
    )
    if loader is None:
        raise EmbeddedError(f"{root} holds no C library: delete {root.parent} and try again.")
    change = ["--set-interpreter", str(loader), "--force-rpath", "--set-rpath", str(loader.resolve().parent)]
    for program in programs:
        if program.is_symlink() or program.read_bytes()[:4] != b"\x7fELF":
            continue
        done = subprocess.run([_patchelf(), *change, str(program)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EmbeddedError(
                f"patchelf failed on {program.name} ({done.stderr.strip()}): delete {root.parent} and try again."
            )


def _patchelf() -> str:
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("patchelf", path=scripts) or shutil.which("patchelf", path=str(Path(sys.executable).parent))
    if found is None:
        raise EmbeddedError("patchelf is missing: install Wearcast with its 'embedded' extra.")
    return found
