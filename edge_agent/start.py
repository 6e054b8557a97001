"""From a configuration file to a running agent: what the service and ``wearcast agent run`` have in common."""

import threading
from pathlib import Path

from edge_agent.agent import run_agent
from edge_agent.build import build_estimators, build_profile, build_source
from edge_agent.config import AgentConfig, load_config
from edge_agent.outbox_file import hold
from edge_agent.wipe.desk import WipeOrderedError
from edge_agent.wipe.empty import finish_wipe
from edge_agent.wipe.record import read_record


def start(path: Path, stop: threading.Event) -> None:
    """Run until ``stop`` is set, or until a recording has ended; EdgeAgentError is what a person has to put right.

    A dongle that is emptied, now or by a run before, stays quiet until a new service begins.
    """
    config = load_config(path)
    while not stop.is_set():
        if read_record(config.outbox_path).state != "served":
            _end_of_service(config, stop)
        elif _serve(config, stop):
            return


def _serve(config: AgentConfig, stop: threading.Event) -> bool:
    """Run the agent; False where it was told to empty the dongle. All that it knew goes with its frame."""
    profile = build_profile(config)
    try:
        run_agent(config, build_source(config, profile), build_estimators(config, profile), stop)
    except WipeOrderedError:
        return False
    return True


def _end_of_service(config: AgentConfig, stop: threading.Event) -> None:
    """Empty the dongle if it is not yet, and wait."""
    from edge_agent.wipe.quiet import stay_quiet  # only where it is wanted: a dongle starts slowly

    with hold(config.outbox_path):
        finish_wipe(config.outbox_path)
        stay_quiet(config, stop)
