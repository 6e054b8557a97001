"""``python -m edge_agent CONFIG``: the agent as the service runs it, without the command line's libraries.

They take 16 MB and half of the time to start, and a service never prints a table.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from telemetry.logs import LOG_VARIABLE, configure


def main(arguments: list[str]) -> int:
    """Run the agent; the exit status: 1 for what a person has to put right, said in one sentence."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m edge_agent AGENT.YAML\nEverything else: wearcast agent --help\n")
        return 2
    try:
        configure(os.environ.get(LOG_VARIABLE) or "text", process="agent")
    except ValueError as error:
        sys.stderr.write(f"wearcast: {error}\n")
        return 1
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())  # before anything slow: systemd may change its mind
    from edge_agent.errors import EdgeAgentError

    try:
        from edge_agent.start import start

        start(Path(arguments[0]), stop)
    except EdgeAgentError as error:
        sys.stderr.write(f"wearcast: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
