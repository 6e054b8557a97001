"""``wearcast agent forget`` and ``enable``: the end of a dongle's service in a car, and the beginning of the next."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from wearcast.commands.agent import ON_THE_DONGLE, ConfigArgument, app


@app.command(rich_help_panel=ON_THE_DONGLE)
def forget(config: ConfigArgument, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete everything the dongle has stored of the car, also what was not sent yet. Stop the agent first."""
    from edge_agent.config import load_config
    from edge_agent.forget import forget as empty

    outbox = load_config(config, needs_password=False).outbox_path
    if not yes and not typer.confirm(f"Delete {outbox} with everything that was not sent yet?"):
        raise typer.Exit(1)
    print(f"{outbox}: {len(empty(outbox, datetime.now(UTC)))} files are gone")


@app.command(rich_help_panel=ON_THE_DONGLE)
def enable(config: ConfigArgument) -> None:
    """Let a dongle that was emptied collect again: for its next car. Enrolling it anew does the same by itself."""
    from edge_agent.config import load_config
    from edge_agent.forget import enable as begin_service

    outbox = load_config(config, needs_password=False).outbox_path
    if begin_service(outbox, datetime.now(UTC)):
        print(f"{outbox}: a new service begins; the agent takes it up within seconds")
    else:
        print(f"{outbox}: this dongle was not emptied, or is in service again; nothing is to be done")
