"""``wearcast agent status``: how a dongle is, asked on the dongle itself."""

from datetime import UTC, datetime

import typer

from wearcast.commands.agent import ON_THE_DONGLE, ConfigArgument, app
from wearcast.commands.common import JsonOption
from wearcast.output import print_json, print_rows


@app.command(rich_help_panel=ON_THE_DONGLE)
def status(config: ConfigArgument, as_json: JsonOption = False) -> None:
    """Show how the dongle is: what waits and since when, what had to be given up, its certificate. Status 1 if ill."""
    from dataclasses import asdict

    from edge_agent.config import load_config
    from edge_agent.enrolment.build import shown_by
    from edge_agent.own_health import read_health
    from edge_agent.wipe.record import read_record

    loaded = load_config(config, needs_password=False)
    if read_record(loaded.outbox_path).state != "served":
        ended = "this dongle was emptied and collects nothing; a new service begins with: wearcast agent enable"
        if as_json:
            print_json({"emptied": True, "problems": [ended]})
        else:
            print(ended)
        raise typer.Exit(1)
    health = read_health(loaded.outbox_path, shown_by(loaded).tls, datetime.now(UTC))
    if as_json:
        print_json(health)
    else:
        told = {name: value for name, value in asdict(health).items() if name != "problems"}
        print_rows([{"what": name.replace("_", " "), "is": value} for name, value in told.items()], as_json=False)
        print("\n".join(health.problems) or "Nothing is wrong.")
    if health.problems:
        raise typer.Exit(1)
