"""Ending connections of devices that are no longer let in, and finding those that use another's session.

NATS ends them by itself when it reads its users again. Mosquitto does not: a client that its ACL no longer names stays,
deaf and mute. It is disconnected as the protocol has it (MQTT-3.1.4-2): whoever connects with its client id takes its
place, which at the devices' listener nobody can choose, and at the services' listener we do. Mosquitto's own command
for that belongs to its dynamic security plugin, which keeps users in a file of its own and knows no certificates.
"""

import asyncio
import http.client
import json
import logging
import urllib.request
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Final

import aiomqtt

from ingest.broker_connection import BrokerConfig, Client
from ingest.brokers.folder import Setup, doorkeeper
from ingest.errors import BrokerError
from telemetry.topics import DEVICE_ID

logger = logging.getLogger(__name__)

SERVICE_CLIENT_IDS: Final = "wearcast-"  # what the client ids of the backend begin with
_PAGE: Final = 1024  # connections of one answer: what the server gives by default
_ANSWER_SECONDS: Final = 10.0
_MOST_FAILURES: Final = 3


async def take_places(folder: Path, setup: Setup, client_ids: Iterable[str]) -> None:
    """Disconnect clients of Mosquitto. Their sessions end with it: what is not acknowledged is sent again."""
    host, _, port = setup.control.rpartition(":")
    account = doorkeeper(folder)
    config = BrokerConfig(
        host=host, port=int(port), username=account.name, password=account.password, tls=True, ca_file=setup.ca
    )
    failures: list[str] = []
    for client_id in client_ids:
        try:
            async with Client(config, client_id=client_id, clean_session=True):
                pass
        except aiomqtt.MqttError as error:
            failures.append(f"{client_id} ({error})")
            if len(failures) == _MOST_FAILURES:  # it is the broker
                break
    if failures:
        raise BrokerError(f"cannot be disconnected, deaf and mute already: {', '.join(failures)}")


async def intruders(setup: Setup, devices: Collection[str]) -> dict[str, str]:
    """Devices that are connected to NATS under a client id of another device, or a service: device -> client id.

    NATS lets them: who it belongs to is disconnected. What waits in its session they do not get, as each subscription
    is checked against their own rights. Any other client id is a device's own affair.
    """
    return {
        device: client_id
        for device, client_id in await asyncio.to_thread(_client_ids, setup.control)
        if client_id != device and (client_id in devices or client_id.startswith(SERVICE_CLIENT_IDS))
    }


def _client_ids(control: str) -> list[tuple[str, str]]:
    pairs = [
        (_common_name(str(connection.get("authorized_user") or "")), str(connection.get("mqtt_client") or ""))
        for connection in _connections(control)
    ]
    return [(device, client_id) for device, client_id in pairs if device is not None]


def _connections(control: str) -> Iterable[dict[str, Any]]:
    offset = 0
    while True:
        url = f"http://{control}/connz?auth=1&limit={_PAGE}&offset={offset}"
        try:
            with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:
                page = json.load(answer)
            connections, total = page["connections"], page["total"]
        # What breaks off in the middle is neither of urllib's errors nor one kind.
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise BrokerError(f"{control} does not say who is connected ({error})") from error
        yield from connections
        offset += _PAGE
        if offset >= total:
            return


def _common_name(user: str) -> str | None:
    """Device id of a user that is a certificate's subject; None of a service's."""
    for part in user.split(","):
        key, _, value = part.partition("=")
        if key == "CN" and DEVICE_ID.fullmatch(value):
            return value
    return None
