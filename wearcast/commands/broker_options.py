"""What the commands of ``wearcast broker config`` are told alike: options declared once, as the fields of a class."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from ingest.brokers.nats import Cluster, Node, TlsFiles

Data = Annotated[Path, typer.Option(help="Where the broker keeps sessions and messages.")]
PidFile = Annotated[Path, typer.Option(help="Where the broker writes its process id.")]
ServicesListen = Annotated[str, typer.Option(help="Address for the backend, HOST:PORT.")]

_TLS = Path("/etc/wearcast/tls")


@dataclass(frozen=True, kw_only=True)
class BrokerOptions:
    """Of any broker."""

    certificate: Annotated[Path, typer.Option(help="The broker's certificate, PEM.")] = _TLS / "broker.pem"
    key: Annotated[Path, typer.Option(help="Its key.")] = _TLS / "broker-key.pem"
    ca: Annotated[Path, typer.Option(help="The authority of the devices' certificates.")] = _TLS / "ca.pem"
    data: Data
    pid_file: PidFile
    listen: Annotated[str, typer.Option(help="Address for devices, HOST:PORT.")] = "0.0.0.0:8883"
    services_listen: ServicesListen
    service: Annotated[
        list[str] | None, typer.Option(help="Part of the backend; repeat for several. Without: ingest.")
    ] = None

    @property
    def services(self) -> tuple[str, ...]:
        """Parts of the backend that may connect."""
        return tuple(self.service or ("ingest",))

    def tls(self) -> "TlsFiles":
        """The broker's PEM files."""
        from ingest.brokers.nats import TlsFiles

        return TlsFiles(certificate=self.certificate.absolute(), key=self.key.absolute(), ca=self.ca.absolute())


@dataclass(frozen=True, kw_only=True)
class NatsOptions(BrokerOptions):
    """Of a NATS server, alone or in a cluster."""

    data: Data = Path("/var/lib/nats")
    pid_file: PidFile = Path("/run/nats/nats.pid")
    services_listen: ServicesListen = "0.0.0.0:4222"
    monitor: Annotated[str, typer.Option(help="Address of the monitoring page.")] = "127.0.0.1:8222"

    def node(self, name: str, cluster: "Cluster | None" = None) -> "Node":
        """The server of that name."""
        from ingest.brokers.nats import Node

        return Node(
            name=name,
            data=self.data.absolute(),
            tls=self.tls(),
            pid_file=self.pid_file.absolute(),
            mqtt_listen=self.listen,
            nats_listen=self.services_listen,
            monitor_listen=self.monitor,
            cluster=cluster,
        )


@dataclass(frozen=True, kw_only=True)
class MosquittoOptions(BrokerOptions):
    """Of Mosquitto."""

    data: Data = Path("/var/lib/mosquitto")
    pid_file: PidFile = Path("/run/mosquitto/mosquitto.pid")
    services_listen: ServicesListen = "127.0.0.1:8884"
    user: Annotated[str, typer.Option(help="Whom Mosquitto becomes when root starts it.")] = "mosquitto"


Options = TypeVar("Options", bound=BrokerOptions)


def with_options(kind: type[Options]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function that takes ``options``: each field of ``kind`` becomes an option of its own.

    Typer reads a command's options from its signature, so that is where they are put.
    """
    options = {
        field.name: inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=field.type,
        )
        for field in fields(kind)
    }

    def command_of(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**given: Any) -> None:
            function(options=kind(**{name: given.pop(name) for name in options}), **given)

        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in inspect.signature(function).parameters.values()
            if parameter.name != "options"
        ]
        command.__signature__ = inspect.Signature([*own, *options.values()])  # type: ignore[attr-defined]
        return command

    return command_of
