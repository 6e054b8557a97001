"""Lines of the log: JSON with the trace, and nothing in it that nobody listed."""

import json
import logging
import subprocess
import sys

import pytest

from telemetry.logs import JsonLines, TraceText, parse_log_setting


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("ingest.watch", logging.INFO, __file__, 1, message, (), None)
    for name, value in extra.items():
        setattr(made, name, value)
    return made


def test_json_line_carries_trace_and_device_and_no_other_field() -> None:
    line = JsonLines("ingest").format(record("committed", trace_id="ab" * 16, device="wc-1", owner="Ada"))
    told = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "info",
        "process": "ingest",
        "logger": "ingest.watch",
        "message": "committed",
        "trace_id": "ab" * 16,
        "device": "wc-1",
    }


def test_json_line_of_an_error_repeats_no_row() -> None:
    made = record("a bug")
    with pytest.raises(ValueError, match="duplicate") as caught:
        raise ValueError("duplicate key\nDETAIL: (name)=(Ada Beispiel)")
    made.exc_info = (ValueError, caught.value, caught.tb)
    line = JsonLines("rules").format(made)
    told = json.loads(line)
    assert told["error"] == "ValueError: duplicate key"
    assert "Ada" not in line
    assert any("test_logs.py" in frame for frame in told["stack"])


def test_text_line_of_an_error_repeats_no_row() -> None:
    made = record("a bug")
    row = "Ada Beispiel"
    with pytest.raises(ValueError, match="duplicate") as caught:
        raise ValueError(f"duplicate key\nDETAIL: (name)=({row})")
    made.exc_info = (ValueError, caught.value, caught.tb)
    line = TraceText().format(made)
    assert line.endswith("\nValueError: duplicate key")
    assert row not in line
    assert "test_logs.py" in line


_TALKS = """
import logging, sys
from telemetry.logs import configure
configure(sys.argv[1], process="delivery")
logging.getLogger("rules.delivery").debug("ours is told")
logging.getLogger("urllib3.connectionpool").debug("POST /bot12345:token/sendMessage")
logging.getLogger("urllib3.connectionpool").warning("Failed to parse headers (url=/bot12345:token)")
logging.getLogger("Connection").debug("a frame with a VIN")
raise ValueError("duplicate key\\nDETAIL: (name)=(Ada Beispiel)")
"""


@pytest.mark.parametrize("setting", ["json:debug", "text:debug"])
def test_at_debug_libraries_stay_silent_and_an_uncaught_error_repeats_no_row(setting: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _TALKS, setting], capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.returncode == 1
    assert "ours is told" in ended.stderr
    assert "ValueError: duplicate key" in ended.stderr
    assert not [word for word in ("token", "VIN", "Ada") if word in ended.stderr], ended.stderr


def test_text_line_ends_with_its_trace_where_it_has_one() -> None:
    assert TraceText().format(record("committed", trace_id="ab")).endswith("ingest.watch: committed [ab]")
    assert TraceText().format(record("committed")).endswith("ingest.watch: committed")


def test_setting_names_form_and_level() -> None:
    assert parse_log_setting("json:debug") == ("json", logging.DEBUG)
    assert parse_log_setting("text") == ("text", logging.INFO)
    for wrong in ("xml", "json:loud", ""):
        with pytest.raises(ValueError, match="WEARCAST_LOG"):
            parse_log_setting(wrong)
