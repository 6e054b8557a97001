"""Layouts of a DBC without cantools in the agent: another process compiles them once, a file keeps them.

cantools would stay in memory for good, and parse on every start. The file is found again by what it was made from.
"""

import hashlib
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from edge_agent.errors import ConfigurationError
from edge_agent.sources.broadcast_layout import MessageLayout
from edge_agent.sources.broadcast_mapping import CanMapping, CompileRequest
from telemetry.catalogue import catalogue

_log = logging.getLogger(__name__)
_FORM: Final = b"1"  # raised when the layouts change their form or meaning
_COMPILE_SECONDS: Final = 120.0  # half a second on a workstation, for the largest DBC known


def cached_layouts(dbc: Path, mappings: Sequence[CanMapping], folder: Path) -> tuple[MessageLayout, ...]:
    """The layouts of the mapped messages, from ``folder`` if they were compiled before.

    ConfigurationError for a DBC that cannot be read, or a mapping that DBC or catalogue do not have. A folder that
    cannot be written only costs the next start its compilation.
    """
    request = msgspec.json.encode(CompileRequest(dbc=str(dbc), mappings=tuple(mappings)))
    try:
        content = dbc.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"DBC {dbc} cannot be read: {error.strerror}") from error
    known = "\n".join(signal.path for signal in catalogue()).encode()
    digest = hashlib.sha256(b"\0".join((_FORM, request, known, content))).hexdigest()[:16]
    file = folder / f"broadcast-{digest}.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=tuple[MessageLayout, ...])
    except FileNotFoundError:
        pass
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("%s cannot be used (%s); the DBC is compiled again", file, error)
    compiled = _compile(request)
    _keep(file, compiled)
    return msgspec.json.decode(compiled, type=tuple[MessageLayout, ...])


def _compile(request: bytes) -> bytes:
    command = [sys.executable, "-m", f"{__package__}.broadcast_dbc"]
    try:
        done = subprocess.run(command, input=request, capture_output=True, timeout=_COMPILE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"the DBC cannot be compiled: {error}") from error
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise ConfigurationError(words[-1])
    return done.stdout


def _keep(file: Path, compiled: bytes) -> None:
    """Replace the layouts of former DBCs and mappings: they are of no more use."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        for former in file.parent.glob("broadcast-*.json"):
            former.unlink()
        new = file.with_suffix(".new")
        new.write_bytes(compiled)
        new.replace(file)
    except OSError as error:
        _log.warning("%s cannot be written (%s); the DBC is compiled again at the next start", file, error)
