"""One question to one device over the broker, and its answers until the last or the deadline."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Final

import aiomqtt

from ingest.broker_connection import BrokerConfig, Client
from ingest.errors import CommandError
from telemetry.commands import Command, CommandResult, decode_result, encode_command
from telemetry.errors import WireError
from telemetry.topics import commands_topic, results_topic

logger = logging.getLogger(__name__)

_BROKER_S: Final = 10.0  # for one answer of the broker


async def exchange(broker: BrokerConfig, command: Command) -> AsyncGenerator[CommandResult, None]:
    """Send the command and give what the device says, in its order; ends with a final answer or at ``expires``.

    Subscribed before it is sent, so that no answer is missed. CommandError when the broker cannot be reached or goes
    away: the device may have answered all the same.
    """
    answers = results_topic(command.device, command.kind)
    sent = False
    try:
        left_s = (command.expires - datetime.now(UTC)).total_seconds()
        own = Client(
            broker,
            client_id=f"wearcast-remote-{command.id.hex[:12]}",
            clean_session=True,
            timeout_s=min(max(left_s, 0.1), _BROKER_S),
        )
        async with asyncio.timeout(left_s), own as client:
            await client.subscribe(answers, qos=1)
            await client.publish(commands_topic(command.device, command.kind), encode_command(command), qos=1)
            sent = True
            async for message in client.messages:
                result = _result(command, message)
                if result is None:
                    continue
                yield result
                if result.final:
                    return
    except TimeoutError:
        if not sent:
            raise _unusable(broker, "it does not answer") from None
    except aiomqtt.MqttError as error:
        raise _unusable(broker, str(error)) from error


def _unusable(broker: BrokerConfig, reason: str) -> CommandError:
    return CommandError(
        f"the broker {broker.host}:{broker.port} cannot be used ({reason}); check WEARCAST_BROKER_URL and that it runs"
    )


def _result(command: Command, message: aiomqtt.Message) -> CommandResult | None:
    """The answer in a message, if it is one to this command."""
    assert isinstance(message.payload, bytes)
    try:
        result = decode_result(command.device, command.kind, message.payload)
    except WireError as error:
        logger.warning("ignored an answer of %s: %s", command.device, error)
        return None
    return result if result.id == command.id else None
