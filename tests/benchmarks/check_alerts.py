"""Checks the alert rules with Prometheus' own tool, fetched from Debian on first use (30 MB): ``make check-alerts``.

Syntax and templates, then the cases of ``tests/golden/alerts_test.yaml``: when each of some alerts fires, and when not.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from wearcast.embedded.apt import PrivateApt
from wearcast.embedded.paths import cache_root, locked, make_folder

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "docs" / "operations" / "wearcast-alerts.yaml"
CASES = ROOT / "tests" / "golden" / "alerts_test.yaml"
_PROGRAM = Path("usr/bin/promtool")


def promtool() -> Path:
    """The machine's own tool, or Debian's in the user's cache; it is one static file."""
    own = shutil.which("promtool")
    if own is not None:
        return Path(own)
    home = make_folder(cache_root() / "promtool", private=False)
    with locked(home / "lock"):
        program = home / "promtool"
        if not program.is_file():
            apt = PrivateApt(make_folder(home / "apt", private=False))
            apt.update()
            packages = apt.resolve(["promtool"], follow=lambda _name: False)
            unpacked = make_folder(home / "root", private=False)
            apt.unpack(apt.download(packages), unpacked)
            shutil.copy2(unpacked / _PROGRAM, program)
            shutil.rmtree(unpacked)
            shutil.rmtree(home / "apt")
    return program


def main() -> int:
    """The tool's status."""
    program = promtool()
    for check, file in (("check", ALERTS), ("test", CASES)):
        status = subprocess.run([program, check, "rules", file], check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
