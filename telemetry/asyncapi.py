"""The contract of the wire as an AsyncAPI 3.0 document, made from the code: ``docs/asyncapi.yaml`` is its output.

Regenerate with ``python -m telemetry.asyncapi > docs/asyncapi.yaml``; a test compares the two.
"""

import sys
from typing import Any

import msgspec
import yaml

from telemetry import commands, plain, service, wipe
from telemetry.topics import PREFIX
from telemetry.wire import MAX_PAYLOAD_BYTES, REJECT_REASONS

_COMPACT = (
    "Compact form: 'WC', version, compression, MessagePack body (raw deflate); laid out in telemetry/compact.py. "
    "Recognised by its first two bytes; the JSON form of the same contract is accepted on the same topic."
)


def document() -> dict[str, Any]:
    """AsyncAPI document as plain data."""
    structs = {
        "readings": plain.ReadingsMessage,
        "events": plain.EventsMessage,
        "status": plain.StatusMessage,
        "acks": plain.AckMessage,
        "commands": commands.CommandMessage,
        "results": commands.ResultMessage,
        "services": service.ServiceMessage,
        "serviceResults": service.ServiceResultMessage,
        "wipes": wipe.WipeMessage,
        "wipeResults": wipe.WipeResultMessage,
    }
    refs, components = msgspec.json.schema_components(
        list(structs.values()), ref_template="#/components/schemas/{name}"
    )
    schemas = dict(zip(structs, refs, strict=True))
    messages: dict[str, Any] = {
        channel: {"name": channel, "contentType": "application/json", "payload": schemas[channel]}
        for channel in structs
    }
    messages["readingsCompact"] = {
        "name": "readingsCompact",
        "contentType": "application/octet-stream",
        "summary": _COMPACT,
        "payload": {"type": "string", "format": "binary", "maxLength": MAX_PAYLOAD_BYTES},
    }
    carried = {name: [name] for name in structs}
    carried["readings"] = ["readings", "readingsCompact"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Wearcast telemetry",
            "version": "1",
            "description": (
                "MQTT 3.1.1. Devices publish with QoS 1 and listen with QoS 0. A batch is identified by (device, boot, "
                "sequence); the backend acknowledges it on `acks` once it is committed, and the device sends it again "
                "until then. Reasons of rejection while "
                f"decoding: {', '.join(REJECT_REASONS)}."
            ),
            "license": {"name": "MIT"},
        },
        "channels": {name: _channel(name, carried[name]) for name in structs},
        "operations": {
            f"{_action(name)}{name[0].upper()}{name[1:]}": {
                "action": _action(name),
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": _SUMMARIES[name],
            }
            for name in structs
        },
        "components": {"messages": messages, "schemas": components},
    }


_SUMMARIES = {
    "readings": "Samples in time order and the estimates made from them.",
    "events": "Trouble codes appearing and clearing, trips, charges, tampering, restarts.",
    "status": "Retained: online or offline; the broker publishes the last will.",
    "acks": "What the backend has committed, and what it has rejected for good.",
    "commands": "Questions of the backend; each expires. No kind changes the car.",
    "results": "Answers: accepted, then parts of a live reading, then one of done, refused, failed.",
    "services": "What a person did to a part or measured on it; sent again until it is applied or refused.",
    "serviceResults": "What became of a service record. The same record told twice counts once.",
    "wipes": "Empty yourself for good; for one generation of the device's certificates, until it expires.",
    "wipeResults": "What became of a wipe. The same one told twice is answered twice and done once.",
}
_FROM_THE_BACKEND = frozenset({"acks", "commands", "services", "wipes"})
_BY_KIND = frozenset({"commands", "results"})
_LEVELS = {
    "services": f"commands/{service.SERVICE_KIND}",
    "serviceResults": f"results/{service.SERVICE_KIND}",
    "wipes": f"commands/{wipe.WIPE_KIND}",
    "wipeResults": f"results/{wipe.WIPE_KIND}",
}


def _action(name: str) -> str:
    """As the device sees it."""
    return "receive" if name in _FROM_THE_BACKEND else "send"


def _channel(name: str, carried: list[str]) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "device": {"description": "device id = CN of its certificate = the only branch it may use"}
    }
    if name in _BY_KIND:
        parameters["kind"] = {"enum": [kind.value for kind in commands.CommandKind]}
    return {
        "address": f"{PREFIX}/{{device}}/{_LEVELS.get(name, name)}" + ("/{kind}" if name in _BY_KIND else ""),
        "parameters": parameters,
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in carried},
    }


if __name__ == "__main__":
    yaml.safe_dump(document(), sys.stdout, sort_keys=False, allow_unicode=True, width=110)
