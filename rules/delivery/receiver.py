"""A small system of the other side: takes workshops' webhooks and owners' messages and keeps them to be looked at.

For demonstration and tests: it verifies as a workshop's own system should, and shows what really arrived.
``POST /workshop/<name>`` takes signed webhooks, ``POST /owner/<name>`` the JSON of Apprise's ``json://`` channel.
"""

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

_LONGEST_BODY = 1024 * 1024  # bytes


@dataclass(frozen=True, kw_only=True)
class Received:
    """What was taken: ``id`` is the webhook's, empty for owners' messages."""

    received_at: datetime
    path: str
    id: str
    body: dict[str, Any]


class Receiver:
    """Listens on loopback from ``with`` to its end.

    ``secrets`` gives each workshop's name in the path its "whsec_…"; ``file`` gets a JSON line for each message taken.
    A webhook whose id was seen before is answered with 200 and not kept again, as every receiver should.
    """

    def __init__(
        self, secrets: Mapping[str, str], *, file: Path | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._secrets = dict(secrets)
        self._file = file
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._received: list[Received] = []
        self.repeated = 0  # webhooks that came again
        self.refused = 0  # messages not taken
        self._server = _Server((host, port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver")

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def received(self) -> tuple[Received, ...]:
        """All that was taken, in order."""
        with self._lock:
            return tuple(self._received)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """End, and wait until it has."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> HTTPStatus:
        """Judge a message and keep it if it is good."""
        side, _, name = path.strip("/").partition("/")
        try:
            content = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            return self._refuse(HTTPStatus.BAD_REQUEST)
        match side:
            case "owner":
                return self._keep(path, "", content)
            case "workshop" if name in self._secrets:
                lowered = {key.lower(): value for key, value in headers.items()}
                try:
                    Webhook(self._secrets[name]).verify(body, lowered, json_parse=False)
                except (WebhookVerificationError, ValueError):  # ValueError: a signature that is no base64
                    return self._refuse(HTTPStatus.UNAUTHORIZED)
                return self._keep(path, lowered["webhook-id"], content)
            case _:
                return self._refuse(HTTPStatus.NOT_FOUND)

    def _refuse(self, status: HTTPStatus) -> HTTPStatus:
        with self._lock:
            self.refused += 1
        return status

    def _keep(self, path: str, message_id: str, body: dict[str, Any]) -> HTTPStatus:
        with self._lock:
            if message_id and message_id in self._seen:
                self.repeated += 1
                return HTTPStatus.OK
            self._seen.add(message_id)
            received = Received(received_at=datetime.now(UTC), path=path, id=message_id, body=body)
            self._received.append(received)
            if self._file is not None:
                with self._file.open("ab") as lines:
                    lines.write(msgspec.json.encode(received) + b"\n")
        return HTTPStatus.OK


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a sender that went away before its answer: that is its own affair."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds without a word

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > _LONGEST_BODY:
                self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            status = receiver.take(self.path, dict(self.headers.items()), self.rfile.read(int(length)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing: paths name people."""

    return Handler
