"""Exchanges with a car on file, one JSON object a line: recorded from any tester, and played back as one.

A tape holds what the ECUs said, the VIN with it; a capture for others to see is made by :mod:`edge_agent.capture`.
"""

import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import IO, Final

import msgspec

from edge_agent.errors import SourceError
from edge_agent.obd.answers import AnswerError
from edge_agent.tester.base import Exchange, IsoTpAddress, Tester

ALL: Final = "all"


class TapeEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One question: milliseconds since the start, whom ("all" or "7E8"), request and answers in hex.

    ``reason`` where there is no answer that counts; ``silent``: there was none at all.
    """

    ms: int
    to: str
    request: str
    answers: dict[str, str] = {}
    reason: str | None = None
    silent: bool = False


class RecordingTester:
    """A tester that writes down what goes through it."""

    def __init__(self, inner: Tester, file: IO[bytes], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        self._file = file
        self._clock = clock
        self._started = clock()

    @property
    def timeout_s(self) -> float:
        """Seconds an ECU is given to answer."""
        return self._inner.timeout_s

    @timeout_s.setter
    def timeout_s(self, value: float) -> None:
        self._inner.timeout_s = value

    @property
    def unanswered(self) -> int:
        """Requests in a row that nobody answered."""
        return self._inner.unanswered

    @unanswered.setter
    def unanswered(self, value: int) -> None:
        self._inner.unanswered = value

    def functional(self, request: bytes, *, expected: AbstractSet[str] | None, enough: int | None = None) -> Exchange:
        """Ask, and write down who answered what."""
        exchange = self._inner.functional(request, expected=expected, enough=enough)
        answers = {ecu: payload.hex() for ecu, payload in exchange.answers.items()}
        self._write(ALL, request, answers, None if answers else exchange.reason(self.timeout_s), silent=not answers)
        return exchange

    def physical(self, address: IsoTpAddress, request: bytes) -> bytes:
        """Ask, and write down the answer or why there is none."""
        before = self.unanswered
        try:
            payload = self._inner.physical(address, request)
        except AnswerError as error:
            self._write(address.ecu, request, {}, str(error), silent=self.unanswered > before)
            raise
        self._write(address.ecu, request, {address.ecu: payload.hex()}, None)
        return payload

    def close(self) -> None:
        """Close the tester; the file is its owner's."""
        self._inner.close()

    def _write(
        self, to: str, request: bytes, answers: dict[str, str], reason: str | None, *, silent: bool = False
    ) -> None:
        ms = round((self._clock() - self._started) * 1000)
        entry = TapeEntry(ms=ms, to=to, request=request.hex(), answers=answers, reason=reason, silent=silent)
        self._file.write(msgspec.json.encode(entry) + b"\n")


class TapeTester:
    """A recorded car: each question gets the answers recorded for it, one after the other, and the last one again."""

    def __init__(self, entries: Iterator[TapeEntry] | list[TapeEntry]) -> None:
        self.timeout_s = 0.2
        self.unanswered = 0
        self._answers: dict[tuple[str, str], list[TapeEntry]] = {}
        for entry in entries:
            self._answers.setdefault((entry.to, entry.request), []).append(entry)
        self._next: dict[tuple[str, str], int] = {}

    def functional(self, request: bytes, *, expected: AbstractSet[str] | None, enough: int | None = None) -> Exchange:
        """The next recorded answers of everybody; none if it was never asked."""
        del expected, enough
        entry = self._take(ALL, request)
        exchange = Exchange(trouble=None if entry else "not on this recording")
        if entry is not None:
            exchange.answers = {ecu: bytes.fromhex(payload) for ecu, payload in entry.answers.items()}
            exchange.trouble = entry.reason
        self.unanswered = 0 if exchange.answers else self.unanswered + 1
        return exchange

    def physical(self, address: IsoTpAddress, request: bytes) -> bytes:
        """The next recorded answer of that ECU; AnswerError with the recorded reason."""
        entry = self._take(address.ecu, request)
        if entry is None or address.ecu not in entry.answers:
            self.unanswered = self.unanswered + 1 if entry is None or entry.silent else 0
            raise AnswerError("not on this recording" if entry is None else entry.reason or "no answer")
        self.unanswered = 0
        return bytes.fromhex(entry.answers[address.ecu])

    def close(self) -> None:
        """Nothing is open."""

    def _take(self, to: str, request: bytes) -> TapeEntry | None:
        key = (to, request.hex())
        recorded = self._answers.get(key)
        if not recorded:
            return None
        position = self._next.get(key, 0)
        self._next[key] = position + 1
        return recorded[min(position, len(recorded) - 1)]


def read_tape(path: Path) -> list[TapeEntry]:
    """All entries of a tape; SourceError names the line that is none."""
    decoder = msgspec.json.Decoder(TapeEntry)
    entries = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be read ({error.strerror}); give a recording of wearcast agent record"
        ) from error
    for number, line in enumerate(lines, 1):
        try:
            entry = decoder.decode(line)
            for text in (entry.request, *entry.answers.values()):
                bytes.fromhex(text)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            raise SourceError(f"{path}, line {number}: no entry of a recording ({error})") from error
        entries.append(entry)
    return entries
