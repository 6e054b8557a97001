"""What counts of the words of an ELM327: whole frames of whole answers, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.tester.elm327_text import hear, lines_of
from edge_agent.virtual_car.disturb import segmented

VIN_REPLY = "7E81014490201575657\r7E8215A5A5A314B5A41\r7E82257303030303031\r\r>"


def told(text: str, *, command: str = "010C", bits: int = 11) -> tuple[list[tuple[int, str]], str | None]:
    heard = hear(text, command=command, identifier_bits=bits)
    return [(sender, payload.hex().upper()) for sender, payload in heard.payloads], heard.trouble


@pytest.mark.parametrize(
    ("text", "bits", "payloads"),
    [
        ("7E804410C1AF8\r\r>", 11, [(0x7E8, "410C1AF8")]),
        ("7E8 04 41 0C 1A F8 \r\r>", 11, [(0x7E8, "410C1AF8")]),  # an adapter that does not know ATS0
        ("7E804410C1AF8AAAAAA\r\r>", 11, [(0x7E8, "410C1AF8")]),  # padded
        ("\0SEARCHING...\r7E804410C1AF8\r\r>", 11, [(0x7E8, "410C1AF8")]),
        ("7E804410C1AF8\r7E903410D00\r\r>", 11, [(0x7E8, "410C1AF8"), (0x7E9, "410D00")]),
        ("18DAF11004410C1AF8\r\r>", 29, [(0x18DAF110, "410C1AF8")]),
        ("18 DA F1 10 04 41 0C 1A F8 \r\r>", 29, [(0x18DAF110, "410C1AF8")]),
        ("7E8037F0178\r7E804410C1AF8\r\r>", 11, [(0x7E8, "7F0178"), (0x7E8, "410C1AF8")]),
        (VIN_REPLY, 11, [(0x7E8, "49020157565" + "75A5A5A314B5A4157303030303031")]),
    ],
)
def test_whole_answers_count(text: str, bits: int, payloads: list[tuple[int, str]]) -> None:
    assert told(text, bits=bits) == (payloads, None)


def test_answers_of_two_ecus_may_be_mixed() -> None:
    first, second = (segmented(bytes((0x43, 4, *[n] * 8))) for n in (1, 2))
    lines = [
        f"{sender}{frame.hex().upper()}"
        for pair in zip(first, second, strict=True)
        for sender, frame in zip(("7E8", "7E9"), pair, strict=True)
    ]
    assert told("\r".join(lines) + "\r\r>") == ([(0x7E8, "4304" + "01" * 8), (0x7E9, "4304" + "02" * 8)], None)


@pytest.mark.parametrize(
    ("text", "reason", "nobody"),
    [
        ("NO DATA", "no answer from the car", True),
        ("UNABLE TO CONNECT", "is the ignition on", True),
        ("SEARCHING...\rUNABLE TO CONNECT", "is the ignition on", True),
        ("CAN ERROR", "CAN ERROR", True),
        ("BUS ERROR", "short-circuited", True),
        ("BUS INIT: ...ERROR", "start of communication", True),
        ("BUS INIT: ERROR", "start of communication", True),
        ("FB ERROR", "plugged in fully", True),
        ("ACT ALERT", "switch itself off", True),
        ("BUFFER FULL", "fast enough", False),
        ("STOPPED", "interrupted", False),
        ("?", "does not understand", False),
        ("DATA ERROR", "DATA ERROR", False),
        ("BUS BUSY", "too busy", False),
        ("ERR94", "error of its own (ERR94)", False),
        ("", "empty reply", False),
        ("LV RESET", "supply broke down", False),
        ("ELM327 v1.5", "started anew", False),
        ("010C\r410C1AF8", "repeats what it is told", False),
        ("41 0C 1A F8", "is no frame (41 0C 1A F8)", False),
        ("hello", "is no frame (hello)", False),
        ("7E8 04 41 0c 1a f8", "is no frame", False),
    ],
)  # fmt: skip
def test_everything_else_is_a_reason_and_never_a_value(text: str, reason: str, nobody: bool) -> None:
    heard = hear(f"{text}\r\r>", command="010C", identifier_bits=11)
    assert heard.payloads == []
    assert heard.trouble is not None
    assert reason in heard.trouble
    assert heard.nobody == nobody


@pytest.mark.parametrize("word", ["BUFFER FULL", "STOPPED", "7E804410C1AF8 <RX ERROR", "<DATA ERROR", "zz", "ERR94"])
def test_one_bad_line_spoils_the_reply(word: str) -> None:
    payloads, trouble = told(f"7E804410C1AF8\r{word}\r\r>")
    assert payloads == []
    assert trouble is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("7E804410C1A", "truncated frame: 04410C1A of 7E8 has 3 of 4 bytes"),
        ("7E800", "has 0 of 0 bytes"),
        ("7E800410C", "has 2 of 0 bytes"),
        ("7E81014490201575657", "truncated answer of 7E8: 6 of 20 bytes"),
        ("7E81014490201575657\r7E8215A5A5A314B5A41", "13 of 20 bytes"),
        ("7E81014490201575657\r7E82257303030303031", "is number 2, expected was 1"),
        ("7E81014490201575657\r7E8215A5A\r7E82257303030303031", "is cut short"),
        ("7E8215A5A5A314B5A41", "continues nothing"),
        ("7E81004490201575657", "announces 4 bytes in several frames"),
        ("7E8F4410C1AF8", "of no known kind"),
        ("7E804410C1AF8000000000000", "is no frame"),  # more than CAN carries
        ("FFF04410C1AF8", "is no frame"),  # an identifier of 12 bits
    ],
)
def test_truncated_answers_are_no_answers(text: str, reason: str) -> None:
    payloads, trouble = told(f"{text}\r\r>")
    assert payloads == []
    assert trouble is not None
    assert reason in trouble


def test_a_broken_answer_of_one_ecu_leaves_that_of_another() -> None:
    payloads, trouble = told("7E804410C1AF8\r7E903410D\r\r>")
    assert payloads == [(0x7E8, "410C1AF8")]
    assert trouble is not None


@given(st.text())
def test_any_text_gives_payloads_or_a_reason(text: str) -> None:
    for bits in (11, 29):
        heard = hear(text, command="010C", identifier_bits=bits)
        assert heard.payloads or heard.trouble


@given(st.binary(min_size=1, max_size=300), st.data())
def test_an_answer_of_which_something_is_missing_is_no_answer(payload: bytes, data: st.DataObject) -> None:
    lines = [f"7E8{frame.hex().upper()}" for frame in segmented(payload)]
    whole = [(0x7E8, payload.hex().upper())]
    assert told("\r".join(lines) + "\r\r>") == (whole, None)
    at = data.draw(st.integers(0, len(lines) - 1))
    without = "\r".join(lines[:at] + lines[at + 1 :])
    assert told(without + "\r\r>")[0] == []
    start = data.draw(st.integers(0, len(lines[at]) - 1))
    lost = data.draw(st.sampled_from([n for n in (1, 3, 5, 7) if start + n <= len(lines[at])]))
    spoilt = lines[at][:start] + lines[at][start + lost :]
    assert told("\r".join([*lines[:at], spoilt, *lines[at + 1 :]]) + "\r\r>")[0] == []


@given(st.binary(min_size=1, max_size=300), st.data())
def test_an_answer_that_breaks_off_is_no_answer(payload: bytes, data: st.DataObject) -> None:
    text = "\r".join(f"7E8{frame.hex().upper()}" for frame in segmented(payload))
    cut = text[: data.draw(st.integers(0, len(text)))]
    assert told(cut + "\r\r>")[0] in ([], [(0x7E8, payload.hex().upper())])  # of the last frame padding may be missing


@given(st.lists(st.sampled_from(["7E8037F0178", "NO DATA", "", " ", "\0"]), max_size=5))
def test_lines_have_no_blanks_around_them(lines: list[str]) -> None:
    assert lines_of("\r\n".join(lines) + "\r\r>") == [line for line in lines if line.strip(" \0")]
