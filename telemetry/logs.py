"""What a line of the log looks like, the same for every process on both ends: text for people, JSON for machines.

``WEARCAST_LOG`` says which, and from which level on: ``text``, ``json``, ``json:debug``. A line may carry the trace of
a batch (:mod:`telemetry.trace`), a device's id and nothing else beside its text: what belongs to an owner never gets
into a log, and a field that nobody listed here is left out.
"""

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, TextIO, TypeAlias

ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

LOG_VARIABLE: Final = "WEARCAST_LOG"
FORMS: Final = ("text", "json")
LEVELS: Final = ("debug", "info", "warning", "error")
FIELDS: Final = ("trace_id", "device")  # of a record's ``extra``
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# Packages whose lines at DEBUG are ours to answer for. Libraries log there whole frames and addresses: VINs, tokens.
_OURS: Final = (
    "wearcast",
    "ingest",
    "rules",
    "portal",
    "edge_agent",
    "telemetry",
    "health",
    "firmware_profiles",
    "__main__",
)
# Libraries that log what nobody asked for, or whole addresses of channels, of which some are tokens or phone numbers.
_CHATTY: Final = ("httpx", "httpcore", "apprise", "can", "isotp", "asyncio", "yoyo")
_SILENT: Final = ("urllib3", "requests")  # also their warnings name the address


def parse_log_setting(text: str) -> tuple[str, int]:
    """Form and level of a ``WEARCAST_LOG``; ValueError says what it should be."""
    form, _, level = text.partition(":")
    level = level or "info"
    if form not in FORMS or level not in LEVELS:
        raise ValueError(f"WEARCAST_LOG: {text!r} is none of {', '.join(FORMS)}, with :{', :'.join(LEVELS)} behind it")
    return form, logging.getLevelNamesMapping()[level.upper()]


def configure(setting: str, *, process: str, verbose: bool = False, stream: TextIO | None = None) -> None:
    """Log to standard error as the setting says; ``verbose`` lowers the level to DEBUG. ValueError as above."""
    form, level = parse_log_setting(setting)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(process) if form == "json" else TraceText())
    level = logging.DEBUG if verbose else level
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler], force=stream is not None)
    for ours in _OURS:
        logging.getLogger(ours).setLevel(level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for silent in _SILENT:
        logging.getLogger(silent).setLevel(logging.CRITICAL)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda given: _log_uncaught(given.exc_type, given.exc_value, given.exc_traceback)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """What ends a process or a thread, as a line of the log: Python's own words for it would repeat a row."""
    if error is None or issubclass(kind, KeyboardInterrupt | SystemExit):
        sys.__excepthook__(kind, error or kind(), trace)
        return
    logging.getLogger("wearcast").critical("ended by a fault of ours", exc_info=(kind, error, trace))


def name_process(process: str) -> None:
    """Give the lines from now on the name of the process, known only once its command runs."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, JsonLines):
            handler.formatter.process = process


def _told(error: BaseException) -> str:
    """Kind of an error and the first line of its text: the others of a database's error repeat the row."""
    return f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}"


class TraceText(logging.Formatter):
    """A line for people; at level DEBUG its trace stands behind it."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = super().format(record)
        trace = getattr(record, "trace_id", None)
        return line if trace is None else f"{line} [{trace}]"

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 - the library's name
        """Where it was raised, and the first line of its text."""
        return "" if ei[1] is None else "".join(traceback.format_tb(ei[2])) + _told(ei[1])


class JsonLines(logging.Formatter):
    """A JSON object per line: time, level, process, logger, message, and of FIELDS those that are there."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info is not None and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["error"] = _told(error)
            line["stack"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
            ]
        return json.dumps(line, ensure_ascii=False, default=str)
