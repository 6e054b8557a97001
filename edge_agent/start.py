"""From a configuration file to a running agent: what the service and ``wearcast agent run`` have in common."""

import threading
from pathlib import Path

from edge_agent.agent import run_agent
from edge_agent.build import build_estimators, build_profile, build_source
from edge_agent.config import load_config


def start(path: Path, stop: threading.Event) -> None:
    """Run until ``stop`` is set, or until a recording has ended; EdgeAgentError is what a person has to put right."""
    config = load_config(path)
    profile = build_profile(config)
    run_agent(config, build_source(config, profile), build_estimators(config, profile), stop)
