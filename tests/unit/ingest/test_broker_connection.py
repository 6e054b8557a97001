"""Connecting to a broker that is just starting, or behind a balancer that has none: it closes before it answers."""

import asyncio
import contextlib
import socket
import struct

import aiomqtt
import pytest

from ingest.broker_connection import BrokerConfig, Client


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def end(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("way", [reset, end])
async def test_a_connection_closed_before_the_answer_is_no_timeout(way: object) -> None:
    server = await asyncio.start_server(way, "127.0.0.1", 0)  # type: ignore[arg-type]  # either of the two above
    port = server.sockets[0].getsockname()[1]
    async with server:
        client = Client(BrokerConfig(port=port), client_id="a-test", clean_session=True, timeout_s=100.0)
        with pytest.raises(aiomqtt.MqttError, match=r"closed the connection before it answered|reset by peer"):
            async with client:
                raise AssertionError("nothing was to be connected to")


async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A broker that takes the connection, and says nothing more."""
    await reader.read(1)
    writer.write(bytes([0x20, 2, 0, 0]))  # CONNACK, accepted (MQTT 3.1.1, 3.2)
    await writer.drain()
    await reader.read()
    writer.close()


async def test_who_is_told_to_stop_while_the_broker_answers_stops() -> None:
    server = await asyncio.start_server(welcome, "127.0.0.1", 0)
    client = Client(
        BrokerConfig(port=server.sockets[0].getsockname()[1]), client_id="a-test", clean_session=True, timeout_s=60.0
    )

    async def stay() -> None:
        async with client:
            await asyncio.Event().wait()

    async with server:
        staying = asyncio.create_task(stay())
        client._connected.add_done_callback(lambda _: staying.cancel())  # at that very moment
        await asyncio.wait([staying], timeout=20)
        assert staying.cancelled()
