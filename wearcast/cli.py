"""The ``wearcast`` command: one group per job.

The modules of the groups import what a command needs inside its function, so that a dongle needs no backend.
"""

import logging
import sys
from typing import Annotated

import typer

from telemetry.logs import configure
from wearcast import __version__
from wearcast.commands import (
    agent,
    agent_forget,
    agent_status,
    backups,
    broker,
    db,
    demo,
    diagnose,
    diagnose_live,
    doctor,
    enrolment,
    flash,
    health,
    ingest,
    operators,
    portal,
    power,
    privacy,
    recognise,
    remote,
    rules,
    trace,
    watch,
)
from wearcast.settings import log_setting

app = typer.Typer(
    name="wearcast",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Forecasts when the parts of a car wear out, tells the owner in time, and books the workshop.

    A dongle reads the car and publishes over MQTT ([b]agent[/b], [b]flash[/b]); the backend stores
    ([b]ingest[/b], [b]db[/b]), decides and books ([b]rules[/b]) and shows ([b]portal[/b]).
    To see all of it at once: [b]wearcast demo run[/b].

    Settings come from the environment; docs/settings.md lists them.""",
    rich_markup_mode="rich",
)
# These join the group `agent`.
assert all(
    module.app is agent.app
    for module in (agent_forget, agent_status, diagnose, diagnose_live, doctor, power, recognise)
)
assert backups.app is db.app
app.add_typer(agent.app, name="agent")
app.add_typer(flash.app, name="flash")
app.add_typer(ingest.app, name="ingest")
app.add_typer(broker.app, name="broker")
app.add_typer(enrolment.app, name="enrolment")
app.add_typer(rules.app, name="rules")
app.add_typer(portal.app, name="portal")
app.add_typer(health.app, name="health")
app.add_typer(db.app, name="db")
app.add_typer(demo.app, name="demo")
app.add_typer(operators.app, name="operators")
app.add_typer(privacy.app, name="privacy")
app.command("remote")(remote.remote)
app.add_typer(watch.app, name="watch")
app.command("status")(watch.status)
app.command("trace")(trace.trace)
app.command("why")(rules.why)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"wearcast {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: ARG001 - typer calls _version with it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details to standard error.")] = False,
) -> None:
    configure(log_setting(), process="wearcast", verbose=verbose)
    logging.getLogger("UdsClient").setLevel(logging.CRITICAL)  # an unanswered request is a fault in its reading


def main() -> None:
    """Run the command; errors of ours end with one sentence and status 1, a bug with its traceback."""
    from wearcast.failures import run_reporting_failures

    sys.exit(run_reporting_failures(app))


if __name__ == "__main__":
    main()
