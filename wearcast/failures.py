"""From an error of ours to one sentence and an exit status. Only here does the program exit."""

import sys
from collections.abc import Callable

# Base errors of our packages, by module and name: a package whose error is raised is imported already, and one that
# is not imported cannot have raised.
OURS = (
    ("telemetry.errors", "TelemetryError"),
    ("health.errors", "HealthError"),
    ("edge_agent.errors", "EdgeAgentError"),
    ("firmware_profiles.errors", "FirmwareProfilesError"),
    ("ingest.errors", "IngestError"),
    ("rules.errors", "RulesError"),
    ("portal.errors", "PortalError"),
    ("wearcast.settings", "SettingsError"),
    ("wearcast.embedded.errors", "EmbeddedError"),
    ("wearcast.demo.errors", "DemoError"),
)


def run_reporting_failures(command: Callable[[], object]) -> int:
    """Run; the exit status. A missing extra is answered with what to install."""
    try:
        command()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in {"wearcast", "telemetry"}:
            raise
        return _fail(
            f"{error.name} is not installed; install wearcast[edge] on a dongle, wearcast[backend] on a server"
        )
    except Exception as error:  # ours are known only once their packages are imported; all others are raised again
        if not isinstance(error, _our_errors()):
            raise
        return _fail(str(error))
    return 0


def _our_errors() -> tuple[type[BaseException], ...]:
    return tuple(getattr(sys.modules[module], name) for module, name in OURS if module in sys.modules)


def _fail(text: str) -> int:
    print(f"wearcast: {text}", file=sys.stderr)
    return 1
