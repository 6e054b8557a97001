"""The HTTP endpoint of a process: ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz`` for whoever restarts it.

Alive means that the process's loops turn: restart one that is not. Ready means that it can work: what keeps it from
that is named, and a restart rarely helps.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final, TypeAlias

from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest

from ingest.pulse import PULSE, Pulse
from wearcast.settings import ListenAddress

log = logging.getLogger(__name__)

_PORTS: Final = 100  # tried upwards from the one that is set: several processes of one machine share the setting
_REQUEST_SECONDS: Final = 10.0
_JSON: Final = "application/json"

Answer: TypeAlias = tuple[int, str, bytes]  # status, content type, body
Page: TypeAlias = Callable[[], Answer]


def pages(process: str, pulse: Pulse = PULSE) -> dict[str, Page]:
    """What every process answers, by path."""

    def metrics() -> Answer:
        return 200, CONTENT_TYPE_LATEST, generate_latest()

    def alive() -> Answer:
        stopped = pulse.stopped_loops()
        return json_answer({"process": process, "alive": not stopped, "stopped": stopped}, ok=not stopped)

    def ready() -> Answer:
        problems = pulse.problems()
        return json_answer({"process": process, "ready": not problems, "problems": problems}, ok=not problems)

    return {"/metrics": metrics, "/healthz": alive, "/readyz": ready}


def json_answer(content: object, *, ok: bool = True) -> Answer:
    """A JSON answer: status 200, or 503."""
    return 200 if ok else 503, _JSON, json.dumps(content).encode()


@contextmanager
def serving(address: ListenAddress | None, answers: Mapping[str, Page]) -> Iterator[str | None]:
    """Answer for the time of the block; yields ``host:port``, or None where nothing listens.

    A process never fails for its endpoint: where no port is free a warning says so.
    """
    server = None if address is None else _bind(address, answers)
    if server is None:
        yield None
        return
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="watch endpoint", daemon=True)
    thread.start()
    host, port = str(server.server_address[0]), server.server_address[1]
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    log.info("metrics and health at http://%s", where)
    try:
        yield where
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Another process's port is not ours, also while it is closing.
    allow_reuse_address = False
    allow_reuse_port = False


def _bind(address: ListenAddress, answers: Mapping[str, Page]) -> _Server | None:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's
    ports = [0] if address.port == 0 else range(address.port, min(address.port + _PORTS, 65536))
    failure: OSError | None = None
    for port in ports:
        try:
            return _Server((address.host, port), _handler(answers))
        except OSError as error:
            failure = error
    log.warning("no metrics: nothing free at %s from port %d on (%s)", address.host, address.port, failure)
    return None


def _handler(answers: Mapping[str, Page]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS

        def do_GET(self) -> None:
            page = answers.get(self.path.partition("?")[0])
            status, kind, body = (404, "text/plain", b"no such page\n") if page is None else page()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Nothing: Prometheus asks all the time."""

    return Handler
