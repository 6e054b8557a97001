"""``wearcast trace``: from a batch to what it led to, or back."""

from typing import Annotated

import typer

from wearcast.commands.common import JsonOption, connection
from wearcast.output import print_json, print_rows


def trace(
    asked: Annotated[
        str, typer.Argument(metavar="TRACE|ALERT|BOOKING", help="A trace of a log, or an id.", show_default=False)
    ],
    device: Annotated[str | None, typer.Option(help="Device whose batches are searched; faster.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Follow one batch: from the dongle over the commit to alert, booking and messages."""
    from dataclasses import asdict

    from rules.trace import follow

    with connection() as conn:
        chain = follow(conn, asked, device=device)
    if as_json:
        print_json(chain)
        return
    print(f"Trace {chain.trace or 'not known: the alert is older than traces are'}")
    batch = "not in the ledger (any more)"
    print_rows([] if chain.batch is None else [asdict(chain.batch)], as_json=False, title="Batch", empty=batch)
    print_rows([asdict(alert) for alert in chain.alerts], as_json=False, title="Alerts", empty="no alert follows")
    print_rows([asdict(entry) for entry in chain.bookings], as_json=False, title="Bookings", empty="no booking")
    print_rows([asdict(entry) for entry in chain.messages], as_json=False, title="Messages", empty="no message")
