"""``wearcast watch``: the process that looks after the others; ``wearcast status``: the same for people, once."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from wearcast.commands.common import JsonOption, connection, database_url, stop_on_signal
from wearcast.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from rules.delivery.owner_channel import OwnerChannel

_NOTIFY_TIMEOUT = timedelta(seconds=15)  # of one channel

app = typer.Typer(
    no_args_is_help=True,
    help="""Look after Wearcast itself.

    The watch gathers what all processes, the fleet, the broker and the database say, exports it for Prometheus and
    tells the operator when something is wrong. [b]wearcast status[/b] shows the same once.""",
    short_help="The watch over the processes, the fleet and the stores.",
)


@app.command()
def run() -> None:
    """Watch until it is stopped: figures for Prometheus, and alerts to WEARCAST_OPERATOR_NOTIFY_FILE."""
    from wearcast.watch.observed import observed
    from wearcast.watch.run import Watch

    settings = load_settings()
    with stop_on_signal() as stop, database_url(settings) as url:
        watch = Watch(settings, url, None if settings.operator_notify_file is None else _channel(settings, url))
        with observed("watch", settings, url, more_pages={"/targets": watch.targets_page}):
            watch.run(stop)


def _channel(settings: Settings, url: str) -> "OwnerChannel":
    from rules.delivery.mail import open_mail
    from rules.delivery.owner_channel import AppriseChannel
    from wearcast.services import delivery_config

    config = delivery_config(settings, url)
    return AppriseChannel(mail=open_mail(config.mail), sender=config.sender, timeout=_NOTIFY_TIMEOUT)


@app.command()
def forget(
    process: Annotated[str, typer.Argument(help="As wearcast status names it: ingest/ingest-2.", show_default=False)],
) -> None:
    """Forget a process that is gone and shall not come back."""
    kind, _, instance = process.partition("/")
    with connection() as conn:
        gone = conn.execute(
            "DELETE FROM process_heartbeat WHERE process = %s AND instance = %s", [kind, instance]
        ).rowcount
    if not gone:
        raise SettingsError(f"there is no process {process!r}; wearcast status lists them")
    print(f"{process} is forgotten")


def status(as_json: JsonOption = False) -> None:
    """Show how Wearcast is: processes, fleet, stores, and what is wrong with what to do. Status 1 if anything is."""
    from wearcast.watch.gather import gather
    from wearcast.watch.judge import judge
    from wearcast.watch.show import as_document, print_status

    settings = load_settings()
    with connection() as conn:
        facts = gather(conn, settings)
    alerts = judge(facts)
    if as_json:
        from wearcast.output import print_json

        print_json(as_document(facts, alerts))
    else:
        print_status(facts, alerts)
    if alerts:
        raise typer.Exit(1)
