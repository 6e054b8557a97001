"""Topics as subjects inside NATS."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.subjects import subject_of, topic_of

LEVEL = st.text(st.characters(codec="ascii", exclude_characters="/.*>+# \t\r\n\f\x7f\0"), min_size=1)


@pytest.mark.parametrize(
    ("subject", "topic"),
    [
        ("wearcast.v1.d1.readings", "wearcast/v1/d1/readings"),
        ("a//b", "a.b"),
        ("/.a", "/a"),
        ("a./", "a/"),
        ("a./.b", "a//b"),
        ("/././", "//"),
    ],
)
def test_topics_are_told_from_subjects_by_the_servers_rule(subject: str, topic: str) -> None:
    assert topic_of(subject) == topic


@given(st.lists(LEVEL, min_size=1).map("/".join))
def test_a_topic_of_ours_comes_back_as_it_was(topic: str) -> None:
    assert topic_of(subject_of(topic)) == topic


@pytest.mark.parametrize("topic", ["", "a//b", "/a", "a/", "a.b", "a/+", "a/#", "a b", "a/>", "ä"])
def test_what_a_subject_cannot_carry_as_it_stands_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="none on which the backend publishes"):
        subject_of(topic)
