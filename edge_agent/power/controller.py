"""What cuts the board's power: a port, the command that does it on a dongle, and what stands in where there is none."""

import logging
import subprocess
from collections.abc import Callable, Sequence
from typing import Final, Protocol

log = logging.getLogger(__name__)

_COMMAND_S: Final = 20.0  # below the watchdog's minute


class PowerController(Protocol):
    """Cuts the power, and gives it back where it can."""

    def cut(self, wake_in_s: float | None) -> bool:
        """Begin to cut the power; False if that failed. ``wake_in_s`` None: not wanted back before the car wakes."""
        ...


class NoController:
    """Nothing here can cut the power."""

    def cut(self, wake_in_s: float | None) -> bool:
        """Say that it cannot."""
        log.debug("nothing can cut the power (wanted back in %s s)", wake_in_s)
        return False


def run_command(command: Sequence[str]) -> str | None:
    """Run it; what went wrong, or None."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_COMMAND_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else f"exit status {done.returncode}: {done.stderr.strip()[-300:]}"


class CommandController:
    """Runs the command of the hardware profile. ``{wake_in_s}`` in it becomes the seconds to the next wake, 0: none."""

    def __init__(self, command: Sequence[str], *, run: Callable[[Sequence[str]], str | None] = run_command) -> None:
        self._command = tuple(command)
        self._run = run

    def cut(self, wake_in_s: float | None) -> bool:
        """Run it; a failure is logged with the remedy."""
        seconds = 0 if wake_in_s is None else max(1, round(wake_in_s))
        command = [word.replace("{wake_in_s}", str(seconds)) for word in self._command]
        log.info("cutting the power: %s", " ".join(command))
        if (wrong := self._run(command)) is not None:
            log.error(
                "%s failed (%s): the board stays on and goes on draining the battery; may the agent's user run it?",
                " ".join(command),
                wrong,
            )
            return False
        return True
