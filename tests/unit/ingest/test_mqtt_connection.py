"""One connection: how it begins, pauses and ends, also where the broker does not do what it should."""

import asyncio
import gc
import os
import random
import socket
import ssl
from pathlib import Path

import pytest

from firmware_profiles.authority import Authority
from ingest.broker_connection import BrokerConfig
from ingest.errors import BrokerError
from ingest.sources.inbox import Inbox
from ingest.sources.mqtt_connection import MqttConnection
from tests.unit.ingest import mqtt_packets as mqtt
from tests.unit.ingest.mqtt_broker import TOPIC, Broker, connected, serving, take, until

LONG = 1000.0  # seconds: whoever waits for it has failed


async def opened(broker: Broker, timeout_s: float = LONG) -> MqttConnection:
    return await asyncio.wait_for(
        MqttConnection.open(
            BrokerConfig(port=broker.port),
            client_id="ingest-test",
            topic_filter="wearcast/#",
            receive=lambda _connection, _message: True,
            timeout_s=timeout_s,
        ),
        20,
    )


def tls_of(folder: Path) -> tuple[ssl.SSLContext, BrokerConfig]:
    authority = Authority.open_or_create(folder / "authority")
    issued = authority.issue_server_certificate(["127.0.0.1"])
    (folder / "certificate.pem").write_bytes(issued.certificate_pem)
    (folder / "key.pem").write_bytes(issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context, BrokerConfig(tls=True, ca_file=folder / "authority" / "ca.pem")


async def test_what_tls_has_read_ahead_is_read_on_once_there_is_room(tmp_path: Path) -> None:
    context, config = tls_of(tmp_path)
    async with connected(Inbox(max_messages=4, max_bytes=10_000), tls=context, config=config) as (source, broker):
        assert broker.writer is not None
        sent = [str(number).encode() for number in range(1, 301)]
        for wave in (sent[:150], sent[150:]):  # each in one record
            broker.writer.write(b"".join(mqtt.publish(int(payload), TOPIC.encode(), payload) for payload in wave))
            assert await take(source, len(wave)) == wave
        await until(lambda: broker.confirmed == [int(payload) for payload in sent], "each confirmed once")


async def test_packets_are_taken_wherever_the_stream_is_cut() -> None:
    large = bytes(200_000)  # more than is read at once
    async with connected(Inbox(max_messages=1000, max_bytes=10_000_000)) as (source, broker):
        assert broker.writer is not None
        sent = [*(str(number).encode() for number in range(1, 100)), large, b"last"]
        stream = b"".join(mqtt.publish(number, TOPIC.encode(), body) for number, body in enumerate(sent, start=1))
        draw = random.Random(1)
        while stream:
            length = draw.choice((1, 2, 3, 50, 1000, 70_000))
            broker.writer.write(stream[:length])
            await broker.writer.drain()
            stream = stream[length:]
            await asyncio.sleep(0)
        assert await take(source, len(sent)) == sent
        await until(lambda: broker.confirmed == list(range(1, len(sent) + 1)), "each confirmed once, in order")


async def test_the_options_of_the_socket_are_set_although_it_is_wrapped() -> None:
    broker = Broker()
    async with serving(broker):
        connection = await opened(broker)
        wrapped = connection._client.socket()
        assert wrapped is not None
        with socket.socket(fileno=os.dup(wrapped.fileno())) as beneath:
            assert beneath.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert beneath.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await connection.leave()


async def test_a_refused_subscription_is_noticed_in_a_session_that_is_kept_too() -> None:
    broker = Broker()
    broker.suback, broker.session_kept = b"\x80", True
    async with serving(broker):
        connection = await opened(broker)
        with pytest.raises(BrokerError, match="grant it to the backend's user"):
            await asyncio.wait_for(connection.keep(), 20)
        await connection.leave()
        broker.session_kept = False
        with pytest.raises(BrokerError, match="grant it to the backend's user"):
            await opened(broker)
        await until(lambda: broker.closed == 2, "both are closed")


async def test_a_connection_closed_while_it_subscribes_is_not_waited_for() -> None:
    broker = Broker()
    broker.suback = None
    async with serving(broker):
        with pytest.raises(BrokerError, match="subscription"):
            await opened(broker)


async def test_a_broker_that_does_not_answer_is_left_and_nothing_stays_open() -> None:
    broker = Broker()
    broker.answers_connect = False
    async with serving(broker):
        with pytest.raises(BrokerError):
            await opened(broker, timeout_s=0.05)
        await until(lambda: (broker.connections, broker.closed) == (1, 1), "closed")


async def test_cancelled_while_it_connects_it_leaves_no_client_at_the_broker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = Broker()
    broker.answers_connect = False
    async with serving(broker):
        opening = asyncio.create_task(opened(broker))
        await until(lambda: broker.connections == 1, "it connects")
        opening.cancel()
        await asyncio.wait([opening])
        await until(lambda: broker.closed == 1, "closed")
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == []


async def test_a_packet_that_contradicts_itself_ends_the_connection() -> None:
    broker = Broker()
    async with serving(broker):
        connection = await opened(broker)
        assert broker.writer is not None
        broker.writer.write(b"\x32\x01\x00")  # a PUBLISH of one byte
        with pytest.raises(BrokerError):
            await asyncio.wait_for(connection.keep(), 20)
        await until(lambda: broker.closed == 1, "closed")
        await connection.leave()


async def test_where_the_broker_confirms_nothing_a_publication_fails_and_the_connection_ends() -> None:
    broker = Broker()
    broker.confirms = False
    async with serving(broker):
        connection = await opened(broker)
        connection.timeout = 0.2  # from now on: there is an answer when it connects, at some time
        with pytest.raises(BrokerError, match="confirmed nothing"):
            await asyncio.wait_for(connection.send([(TOPIC, b"x")] * 3000, qos=1), 20)
        with pytest.raises(BrokerError, match="confirmed nothing"):
            await asyncio.wait_for(connection.keep(), 20)
        await connection.leave()
        await until(lambda: broker.closed == 1, "closed")
        with pytest.raises(BrokerError, match="gone"):
            await connection.send([(TOPIC, b"x")], qos=1)


async def test_nothing_is_taken_from_a_connection_that_is_lost() -> None:
    inbox = Inbox(max_messages=1, max_bytes=1_000)
    async with connected(inbox) as (source, broker):
        for number in range(1, 4):
            broker.deliver(number, str(number).encode())
        await until(lambda: inbox.refused == 1, "the inbox is full")
        broken, broker.session_kept = source._connection, True
        assert broken is not None
        broken._fail("for the test")
        await until(lambda: broker.connections == 2 and source.connected, "connected again")
        assert await take(source, 1) == [b"1"]
        assert len(inbox) == 0
        broker.deliver(7, b"again")
        assert await take(source, 1) == [b"again"]
        await until(lambda: broker.confirmed == [7], "the one of this connection")


async def test_it_is_left_once_what_was_published_is_confirmed_however_much_still_comes() -> None:
    broker = Broker()
    broker.confirms = False
    async with serving(broker):
        connection = await opened(broker)
        await connection.send([(TOPIC, b"the last")], qos=1)
        leaving = asyncio.create_task(connection.leave())
        await until(lambda: broker.published == [b"the last"], "published")
        await asyncio.sleep(0.05)
        assert (leaving.done(), broker.closed) == (False, 0)
        for number in range(1, 200):
            broker.deliver(number, b"nobody takes it")
        assert broker.writer is not None
        broker.writer.write(mqtt.puback(2))  # 1 was the subscription's
        await asyncio.wait_for(leaving, 20)
        await until(lambda: broker.closed == 1, "closed")
        assert broker.confirmed == []


async def test_what_was_published_without_an_answer_has_been_read_before_it_is_left() -> None:
    broker = Broker()
    broker.answers_unsubscribe = False
    async with serving(broker):
        connection = await opened(broker)
        await connection.send([(TOPIC, b"the last")], qos=0)
        leaving = asyncio.create_task(connection.leave())
        await until(lambda: broker.left_unanswered, "it asks whether all is read")
        for number in range(1, 200):
            broker.deliver(number, b"nobody takes it")
        await asyncio.sleep(0.05)
        assert (leaving.done(), broker.closed, broker.published) == (False, 0, [b"the last"])
        assert broker.writer is not None
        broker.writer.write(mqtt.unsuback(broker.left_unanswered[0]))
        await asyncio.wait_for(leaving, 20)
        await until(lambda: broker.closed == 1, "closed")


async def test_a_broker_that_goes_while_it_is_left_is_not_waited_for() -> None:
    broker = Broker()
    broker.answers_unsubscribe = False
    async with serving(broker):
        connection = await opened(broker)
        leaving = asyncio.create_task(connection.leave())
        await until(lambda: broker.left_unanswered, "it asks whether all is read")
        assert broker.writer is not None
        broker.writer.close()
        await asyncio.wait_for(leaving, 20)


async def test_a_packet_of_which_only_the_beginning_came_is_nobodys() -> None:
    async with connected(Inbox(max_messages=10, max_bytes=10_000)) as (source, broker):
        assert broker.writer is not None
        whole, broken = (mqtt.publish(number, TOPIC.encode(), b"message") for number in (1, 2))
        broker.writer.write(whole + broken[:-3])
        broker.writer.close()
        await until(lambda: broker.connections == 2 and source.connected, "connected again")
        broker.deliver(2, b"again")
        assert await take(source, 2) == [b"message", b"again"]
        await until(lambda: broker.confirmed == [2], "the one of this connection")
