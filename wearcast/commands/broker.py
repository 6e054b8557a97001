"""``wearcast broker``: configurations for brokers from the registry, kept up to date, and who is kept out."""

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wearcast.commands.broker_options import MosquittoOptions, NatsOptions, with_options
from wearcast.commands.common import JsonOption, connection, database_url
from wearcast.output import print_rows
from wearcast.settings import load_settings

if TYPE_CHECKING:
    from ingest.brokers.branch import Access
    from ingest.brokers.nats import Node

app = typer.Typer(
    no_args_is_help=True,
    help="""Configurations for NATS and Mosquitto from the registry, and devices that are kept out.

    [b]config[/b] writes a folder for a broker, [b]watch[/b] keeps it as the registry is: a device that is registered
    gets in, one that is revoked is disconnected, within a minute; nobody else loses the connection.""",
    short_help="Configurations for brokers, and devices kept out.",
)
config = typer.Typer(no_args_is_help=True, help="Write the configuration of a broker into a folder.")
app.add_typer(config, name="config")

Out = Annotated[Path, typer.Option(help="Folder to write.", show_default=False)]


@config.command("nats")
@with_options(NatsOptions)
def config_nats(out: Out, options: NatsOptions) -> None:
    """One NATS server: `nats-server -c OUT/nats.conf`.

    Example: wearcast broker config nats --out /etc/wearcast/broker
    """
    _write_nats(out, options.node("wearcast"), options.services, _access())


@config.command("nats-cluster")
@with_options(NatsOptions)
def config_nats_cluster(
    out: Out,
    node: Annotated[
        list[str], typer.Option(help="NAME=HOST:PORT where its routes listen; once per node.", show_default=False)
    ],
    options: NatsOptions,
) -> None:
    """A cluster: a folder for each node below OUT, to be copied onto its machine.

    Example: wearcast broker config nats-cluster --out cluster --node a=10.0.0.1:6222 --node b=10.0.0.2:6222
    --node c=10.0.0.3:6222
    """
    from ingest.brokers.folder import routes_secret
    from ingest.brokers.nats import Cluster

    cluster = Cluster(routes=_routes(node), secret=routes_secret(out))
    access = _access()
    for name in cluster.routes:
        _write_nats(out / name, options.node(name, cluster), options.services, access)


@config.command("mosquitto")
@with_options(MosquittoOptions)
def config_mosquitto(out: Out, options: MosquittoOptions) -> None:
    """Mosquitto, version 2.0.11 or later: `mosquitto -c OUT/mosquitto.conf`.

    Example: wearcast broker config mosquitto --out /etc/wearcast/broker
    """
    from ingest.brokers import mosquitto
    from ingest.brokers.folder import Setup, write_broker

    access = _access()
    server = mosquitto.Server(
        folder=out.absolute(),
        data=options.data.absolute(),
        tls=options.tls(),
        pid_file=options.pid_file.absolute(),
        listen=options.listen,
        services_listen=options.services_listen,
        user=options.user,
        revocation=bool(access.revocation_lists),
    )
    setup = Setup(
        kind="mosquitto",
        pid_file=server.pid_file,
        services=options.services,
        control=server.services_listen,
        ca=server.tls.ca,
    )
    _say_written(out, write_broker(out, setup, mosquitto.MAIN_FILE, mosquitto.main_text(server), access))
    if not access.revocation_lists:
        typer.echo(
            "There is no revocation list yet: a revoked device is disconnected and may nothing, but its certificate is "
            "taken. Start `wearcast enrolment`, then write this configuration again.",
            err=True,
        )


@app.command()
def apply(folder: Annotated[Path, typer.Argument(help="Folder of the broker.", show_default=False)]) -> None:
    """Write what depends on the registry again, and tell the broker; once."""
    from ingest.brokers.folder import read_setup
    from ingest.brokers.watch import WatchConfig, look

    setup = read_setup(folder)
    with database_url(load_settings()) as url:
        applied = asyncio.run(look(WatchConfig(database_url=url, folder=folder), setup))
    if applied.told:
        print("applied")
    elif not applied.changed:
        print("nothing changed")
    else:
        print("written; no broker runs that could be told: it reads the files when it starts")


@app.command()
def watch(folder: Annotated[Path, typer.Argument(help="Folder of the broker.", show_default=False)]) -> None:
    """Apply every change of the registry until stopped. Run it as who runs the broker."""
    from ingest.brokers.watch import WatchConfig
    from ingest.brokers.watch import watch as follow
    from wearcast.watch.observed import observed

    settings = load_settings()
    with database_url(settings) as url, observed("broker-watch", settings, url):

        async def main() -> None:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
            await follow(WatchConfig(database_url=url, folder=folder), stop)

        asyncio.run(main())


@app.command()
def blocked(as_json: JsonOption = False) -> None:
    """Show devices that are kept out for a time, and why."""
    from ingest.warden.blocks import blocked as read

    with connection() as conn:
        rows = read(conn, datetime.now(UTC))
    print_rows(
        [
            {"device": row.device_id, "reason": row.reason, "since": row.since, "until": row.until, "times": row.times}
            for row in rows
        ],
        as_json=as_json,
        empty="nobody is kept out",
    )


@app.command()
def block(device: Annotated[str, typer.Argument(help="Device id.", show_default=False)]) -> None:
    """Keep a device out for ten minutes, and longer each time; for good: `wearcast ingest device disable`."""
    from ingest.errors import RegistryError
    from ingest.warden.blocks import block as keep_out

    with connection() as conn:
        if not keep_out(conn, device, reason="by-hand", now=datetime.now(UTC)):
            raise RegistryError(f"{device} is kept out already, or is not registered; see `wearcast broker blocked`")
    print(f"{device} is kept out")


@app.command()
def unblock(device: Annotated[str, typer.Argument(help="Device id.", show_default=False)]) -> None:
    """Let a device in again before its time."""
    from ingest.warden.blocks import unblock as let_in

    with connection() as conn:
        let_in(conn, device)
    print(f"{device} may connect")


def _access() -> "Access":
    from ingest.brokers.access import read_access

    with connection() as conn:
        return read_access(conn)


def _routes(nodes: list[str]) -> dict[str, str]:
    from ingest.errors import BrokerError

    routes = dict(node.partition("=")[::2] for node in nodes)
    if len(routes) < 3 or len(routes) < len(nodes) or not all(":" in address for address in routes.values()):
        raise BrokerError("a cluster that survives a machine has three nodes; give each as --node NAME=HOST:PORT")
    return routes


def _write_nats(folder: Path, node: "Node", services: tuple[str, ...], access: "Access") -> None:
    from ingest.brokers import nats
    from ingest.brokers.folder import Setup, write_broker

    setup = Setup(
        kind="nats",
        pid_file=node.pid_file,
        services=services,
        control=node.monitor_listen,
        ca=node.tls.ca,
    )
    _say_written(folder, write_broker(folder, setup, nats.MAIN_FILE, nats.main_text(node), access))


def _say_written(folder: Path, names: tuple[str, ...]) -> None:
    print(f"{folder}: {', '.join(names)}")
