"""``wearcast agent forget``: empties a dongle whose owner was erased or gives it back."""

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
    print(f"{outbox}: {len(empty(outbox))} files are gone")
