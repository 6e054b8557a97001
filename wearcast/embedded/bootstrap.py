"""Makes the virtual environment from nothing but a Python: ``python3 wearcast/embedded/bootstrap.py``.

Run by the system's own interpreter before anything is installed, so it uses the standard library only, and
its syntax stays readable to older interpreters: they must get as far as the sentence that says what to
install. A second run compares one hash and is done.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
_PYTHON = VENV / "bin" / "python"
_STAMP = VENV / ".wearcast-complete"
_OLDEST, _NEWEST = (3, 11), (3, 13)
# Wanted for its data files alone, and its declared Python range is narrower than ours.
_DATA_ONLY = {(3, 13): ("opendbc",)}
_HEARTBEAT_SECONDS = 5.0
_NO_NETWORK = ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "ProxyError")
_SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def expected_stamp(root: Path) -> str:
    """Say what a complete environment carries: its folder (scripts name it) and the hash of its inputs."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((root / name).read_bytes())
    return f"{root}\n{digest.hexdigest()}\n"


def interpreter() -> str:
    """Return the running interpreter if its version fits, otherwise a fitting one from PATH.

    Exits with one sentence where there is none.
    """
    if _OLDEST <= sys.version_info[:2] <= _NEWEST:
        return sys.executable
    for minor in range(_NEWEST[1], _OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        # A version manager's shim may stand for a version that is not active: only running it tells.
        if found and subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return found
    version = ".".join(map(str, sys.version_info[:2]))
    sys.exit(
        f"Wearcast needs Python 3.11, 3.12 or 3.13 and this is {version}: install one of them, "
        "or name it with 'make PYTHON=/path/to/python3.12'."
    )


class _Builder:
    """Builds the environment phase by phase, saying each with the time since the start."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._started = time.monotonic()
        self._environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")

    def build(self) -> None:
        stamp = _STAMP.read_text() if _STAMP.is_file() else ""
        # Without a stamp an earlier run was interrupted: pip may have left packages that look whole and are not.
        usable = stamp.partition("\n")[0] == str(ROOT) and self._runs("-m", "pip", "--version")
        if usable:
            self._say("The dependencies changed: bringing .venv up to date")
            _STAMP.unlink()
        else:
            self._say("Making a virtual environment in .venv")
            _STAMP.unlink(missing_ok=True)
            self._call([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)], "Making .venv")
            self._install_pip()
        self._say("Installing the dependencies named in constraints.txt (about 110 packages)")
        # The build backend comes first, so that it is the pinned one, without an environment of its own.
        self._pip("hatchling", "editables")
        self._pip("--no-build-isolation", "--editable", f"{ROOT}[dev]")
        for package in _DATA_ONLY.get(sys.version_info[:2], ()):
            self._pip("--no-deps", "--ignore-requires-python", package)
        _STAMP.write_text(expected_stamp(ROOT))
        self._say("The environment is ready")

    def _install_pip(self) -> None:
        # Debian puts ensurepip into a package of its own (python3-venv), which need not be there.
        if self._runs("-c", "import ensurepip") and self._runs("-m", "ensurepip", "--default-pip"):
            return
        self._say("This Python has no pip: fetching Debian's, with a private apt")
        sys.path[0] = str(ROOT)
        from wearcast.embedded.apt import PrivateApt
        from wearcast.embedded.errors import EmbeddedError
        from wearcast.embedded.paths import cache_root, locked, make_folder

        try:
            cache = cache_root()
            with locked(cache / "apt.lock"):
                apt = PrivateApt(make_folder(cache / "apt", private=False))
                apt.update()
                wanted = apt.resolve(["python3-pip-whl", "ca-certificates"], follow=lambda _name: False)
                debs = apt.download(wanted)
                root = make_folder(cache / "pip", private=False)
                apt.unpack(debs, root)
        except EmbeddedError as error:
            sys.exit(
                f"This Python has no pip and it cannot be fetched; as root run 'apt-get install python3-venv'. {error}"
            )
        site_packages = next(iter(VENV.glob("lib/python3*/site-packages")))
        wheel = max((root / "usr/share/python-wheels").glob("pip-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site_packages)
        # Debian's pip reads the system's certificates as it starts, and a bare system has none.
        if not _SYSTEM_CERTIFICATES.exists():
            bundle = VENV / "certificates.pem"
            certificates = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
            bundle.write_text("".join(path.read_text() for path in certificates))
            certifi = site_packages / "pip/_vendor/certifi/core.py"
            certifi.write_text(certifi.read_text().replace(str(_SYSTEM_CERTIFICATES), str(bundle)))
        shutil.rmtree(root)

    def _pip(self, *arguments: str) -> None:
        command = [str(_PYTHON), "-m", "pip", "install", "--progress-bar", "off"]
        command += ["--constraint", str(ROOT / "constraints.txt"), *arguments]
        self._call(command, "Installing the dependencies")

    def _call(self, command: "list[str]", what: str) -> None:
        """Run a command, showing its latest line now and then; exit with its last lines if it fails."""
        lines: list[str] = []
        spoken = time.monotonic()
        with subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(self._lock,),  # should we be killed, the next run waits for what still works here
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                if time.monotonic() - spoken > _HEARTBEAT_SECONDS:
                    spoken = time.monotonic()
                    self._say("  " + line.strip()[:90])
        if process.returncode != 0:
            if any(sign in line for line in lines for sign in _NO_NETWORK):
                sys.exit(
                    f"{what} failed because the package index cannot be reached: check the network and pip's "
                    "settings (index, proxy), and run the same command again."
                )
            print("\n".join(lines[-12:]), file=sys.stderr)
            sys.exit(
                f"{what} failed: read the lines above, check pip's settings (index, proxy) and the "
                "free disk space, and run the same command again."
            )

    def _runs(self, *arguments: str) -> bool:
        try:
            done = subprocess.run([str(_PYTHON), *arguments], env=self._environment, capture_output=True, check=False)
        except OSError:
            return False
        return done.returncode == 0

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._started:6.1f} s] {text}", flush=True)


def _is_complete() -> bool:
    try:
        return _STAMP.read_text() == expected_stamp(ROOT) and _PYTHON.exists()
    except OSError:
        return False


def main() -> None:
    """Make the environment complete, or find that it is."""
    if _is_complete():
        return
    suitable = interpreter()
    if suitable != sys.executable:
        os.execv(suitable, [suitable, __file__])  # noqa: S606 - the same file, read by an interpreter that fits
    folder = os.open(ROOT, os.O_RDONLY)  # the lock of two runs at once, dropped by the kernel however we end
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Another run is preparing the environment: waiting for it.", flush=True)
        fcntl.flock(folder, fcntl.LOCK_EX)
    if not _is_complete():
        _Builder(folder).build()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: run the same command again, it repairs what is half done.")
