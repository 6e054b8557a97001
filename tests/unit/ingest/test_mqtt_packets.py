"""Packets of MQTT 3.1.1, byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import mqtt_packets as mqtt


def test_the_packets_of_the_standard() -> None:
    greeting = mqtt.connect(client_id="a", username="u", password=chr(0x70), clean_session=False, keep_alive_seconds=60)
    assert greeting == b"\x10\x13\x00\x04MQTT\x04\xc0\x00\x3c\x00\x01a\x00\x01u\x00\x01p"
    nobody = mqtt.connect(client_id="a", username=None, password=chr(0x70), clean_session=True, keep_alive_seconds=60)
    assert nobody == b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"
    assert mqtt.subscribe(10, "a/b") == b"\x82\x08\x00\x0a\x00\x03a/b\x01"
    assert mqtt.puback(0x1234) == b"\x40\x02\x12\x34"
    assert mqtt.publish(10, "a/b", b"xyz") == b"\x32\x0a\x00\x03a/b\x00\x0axyz"


@pytest.mark.parametrize(("length", "digits"), [(127, b"\x7f"), (128, b"\x80\x01"), (16_384, b"\x80\x80\x01")])
def test_the_remaining_length_of_the_standard(length: int, digits: bytes) -> None:
    packet = mqtt.publish(1, "a", bytes(length - 5))
    assert packet[1 : 1 + len(digits)] == digits
    found = mqtt.next_packet(bytearray(packet), 0)
    assert found is not None
    assert len(found[0].body) == length


@given(
    st.lists(st.tuples(st.integers(1, 0xFFFF), st.text(max_size=20), st.binary(max_size=300)), max_size=5),
    st.integers(0, 2000),
)
def test_messages_come_out_of_a_stream_cut_anywhere(messages: list[tuple[int, str, bytes]], cut: int) -> None:
    sent = [mqtt.publish(packet, topic, payload) for packet, topic, payload in messages]
    stream = b"".join(sent)
    buffer, place, found = bytearray(stream[:cut]), 0, []
    for more in (b"", stream[cut:]):
        buffer += more
        while (packet := mqtt.next_packet(buffer, place)) is not None:
            found.append(mqtt.publication(packet[0]))
            place = packet[1]
    assert place == len(stream)
    assert found == [mqtt.Publication(topic, payload, packet) for packet, topic, payload in messages]


def test_a_message_without_confirmation_has_no_packet_id() -> None:
    found = mqtt.next_packet(bytearray(b"\x30\x04\x00\x01ax"), 0)
    assert found is not None
    assert mqtt.publication(found[0]) == mqtt.Publication("a", b"x", 0)


@given(st.integers(0, 15), st.binary(max_size=8))
def test_any_publish_is_a_message_or_a_protocol_error(flags: int, body: bytes) -> None:
    try:
        mqtt.publication(mqtt.Packet(mqtt.PUBLISH, flags, body))
    except mqtt.ProtocolError:
        return


def test_a_length_that_does_not_end_is_no_mqtt() -> None:
    with pytest.raises(mqtt.ProtocolError):
        mqtt.next_packet(bytearray(b"\x30\xff\xff\xff\xff"), 0)
