"""How a process joins the watch: ``with observed("rules", settings, url): …`` around its work, and nothing else."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from telemetry.logs import name_process
from wearcast.settings import Settings
from wearcast.watch.endpoint import Page, pages, serving
from wearcast.watch.heartbeat import beating


@contextmanager
def observed(
    process: str,
    settings: Settings,
    url: str,
    *,
    instance: str | None = None,
    more_pages: Mapping[str, Page] | None = None,
) -> Iterator[None]:
    """Endpoint, heartbeat and the name in the log for the time of the block.

    ``process``: what it is ("rules"); ``instance``: its name where several have one ("ingest-1"). Its loops say that
    they turn through :data:`ingest.pulse.PULSE`.
    """
    name_process(process)
    with (
        serving(settings.watch_listen, {**pages(process), **(more_pages or {})}) as listens,
        beating(process, url, instance=instance, listens=listens),
    ):
        yield
