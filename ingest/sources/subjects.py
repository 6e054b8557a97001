"""MQTT topics as subjects inside NATS, and back: ``wearcast/v1/d1/readings`` is ``wearcast.v1.d1.readings``. Pure.

The server's rule (NATS documentation, MQTT, topic to subject conversion): ``/`` is ``.``, ``.`` is ``//``, and an
empty level is written ``/`` beside its ``.``, as a subject has no empty tokens.
"""

from typing import Final

# Under which the server keeps every message of QoS 1 and 2, in its stream MQTT_STREAM.
STORED: Final = "$MQTT.msgs."


def topic_of(subject: str) -> str:
    """Topic of a subject, without :data:`STORED`."""
    if "/" not in subject:
        return subject.replace(".", "/")
    topic: list[str] = []
    at = 0
    while at < len(subject):
        pair = subject[at : at + 2]
        if pair in {"/.", "//"}:
            topic.append("/" if pair == "/." else ".")
            at += 2
        elif subject[at] == "/":  # after the '.' of an empty last level
            at += 1
        else:
            topic.append("/" if subject[at] == "." else subject[at])
            at += 1
    return "".join(topic)


def subject_of(topic: str) -> str:
    """Subject of a topic of ours. ValueError for one that would need escapes, or that a subject cannot carry."""
    levels = topic.split("/")
    if not all(levels) or not topic.isascii() or any(sign in topic for sign in ".*>+# \t\r\n\f\x7f"):
        raise ValueError(f"topic {topic!r} is none on which the backend publishes")
    return ".".join(levels)
