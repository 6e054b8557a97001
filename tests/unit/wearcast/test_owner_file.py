"""An owner from a file: taken as it is, or refused without a word of it."""

import pytest

from wearcast.owner_file import OwnerData, read_owner
from wearcast.settings import SettingsError


def test_all_but_the_name_may_be_left_out() -> None:
    assert read_owner('{"name": "Ada"}') == OwnerData(name="Ada")
    whole = '{"name": "Ada", "email": "ada@example.org", "notify": ["tgram://t/1"], "position": [52.5, 13]}'
    assert read_owner(whole) == OwnerData(
        name="Ada", email="ada@example.org", notify=("tgram://t/1",), position=(52.5, 13.0)
    )
    assert "Ada" not in repr(read_owner(whole))


@pytest.mark.parametrize(
    "text",
    [
        "Ada",
        "[]",
        '"Ada"',
        '["Ada"]',
        "{}",
        '{"name": 1}',
        '{"name": "Ada", "notify": "tgram://Ada"}',
        '{"name": "Ada", "notify": [1]}',
        '{"name": "Ada", "position": [1]}',
        '{"name": "Ada", "position": "Ada"}',
        '{"name": "Ada", "Ada": 1}',
    ],
)
def test_what_it_is_not_is_said_without_repeating_it(text: str) -> None:
    with pytest.raises(SettingsError, match="the owner's file") as caught:
        read_owner(text)
    assert "Ada" not in str(caught.value)
