"""Topics: only a device's own branch is a topic of a device."""

import pytest

from telemetry import topics
from telemetry.errors import WireError


def test_round_trip() -> None:
    for channel in topics.CHANNELS:
        topic = topics.publish_topic("wc-0001", channel)
        assert topics.parse_device_topic(topic) == topics.DeviceTopic(device="wc-0001", channel=channel)


@pytest.mark.parametrize(
    "topic",
    [
        "wearcast/v1/wc-1/acks",
        "wearcast/v2/wc-1/readings",
        "wearcast/v1/wc-1/readings/x",
        "wearcast/v1//readings",
        "wearcast/v1/a b/readings",
        "wearcast/v1/a.b/readings",
        "other",
        "",
    ],
)
def test_foreign_topics(topic: str) -> None:
    with pytest.raises(WireError) as caught:
        topics.parse_device_topic(topic)
    assert caught.value.reason == "foreign-topic"


@pytest.mark.parametrize("device", ["", "a/b", "a b", "a.b", "#", "+", "-x", "x" * 64, "wc\n"])
def test_device_ids_that_would_leave_their_branch_are_refused(device: str) -> None:
    with pytest.raises(ValueError, match="device id"):
        topics.publish_topic(device, "readings")
