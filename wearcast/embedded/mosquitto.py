"""Mosquitto for tests: Debian's, fetched privately as the database server is, or otherwise the machine's own.

What it is told comes from ``ingest.brokers``, as for one in production.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

from wearcast.embedded.apt import PrivateApt
from wearcast.embedded.errors import BrokerUnavailableError, EmbeddedError
from wearcast.embedded.paths import cache_root, locked, make_folder
from wearcast.embedded.relocation import relocate

_PACKAGE = "mosquitto"
_LAYOUT = 1  # raise it when what is fetched or patched changes: everyone's copy is then made anew
_LIBRARY = re.compile(r"(lib|zlib)\S*")
_PROGRAM = "usr/sbin/mosquitto"


def mosquitto_program() -> Path:
    """The server's program, fetched on first use (7 MB). Raises BrokerUnavailableError, saying what to do."""
    home = make_folder(cache_root() / "mosquitto", private=False)
    try:
        with locked(home / "lock"):
            return _fetched(home)
    except EmbeddedError as error:
        own = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if own is not None:
            return Path(own)
        raise BrokerUnavailableError(
            f"Mosquitto cannot be fetched: check the network, or install Debian's package mosquitto. {error}"
        ) from error


def version_of(program: Path) -> str:
    """What it calls itself: "2.0.21"."""
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\S+)", said)
    if found is None:
        raise BrokerUnavailableError(f"{program} does not say which version it is: delete its folder and try again.")
    return found[1]


def _fetched(home: Path) -> Path:
    root, stamp_file = home / "root", home / "complete.json"
    wanted = {"layout": _LAYOUT, "path": str(root)}
    if not stamp_file.is_file() or json.loads(stamp_file.read_text()) != wanted:
        stamp_file.unlink(missing_ok=True)
        shutil.rmtree(root, ignore_errors=True)
        with locked(home.parent / "apt.lock"):
            apt = PrivateApt(make_folder(home.parent / "apt", private=False))
            apt.update()
            packages = apt.resolve([_PACKAGE], follow=lambda name: _LIBRARY.fullmatch(name) is not None)
            debs = apt.download(packages)
            make_folder(root, private=False)
            apt.unpack(debs, root)
            shutil.rmtree(home.parent / "apt", ignore_errors=True)
        relocate(root, [root / _PROGRAM])
        stamp_file.write_text(json.dumps(wanted))
    return root / _PROGRAM
