"""Traces, tapes, adapters by address, and the doctor's checks."""

import json
import socket
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.adapters import adapter_at, found_adapters
from edge_agent.config import MqttConfig, TlsConfig
from edge_agent.diagnose.doctor import (
    Check,
    broker_check,
    certificate_checks,
    clock_check,
    disk_checks,
    examine,
)
from edge_agent.diagnose.tape import RecordingTester, TapeTester, read_tape
from edge_agent.diagnose.trace import LENGTH, Trace, sparkline
from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.obd.answers import AnswerError
from edge_agent.tester.base import IsoTpAddress
from edge_agent.tester.testing import ScriptedTester
from tests.unit.edge_agent.test_diagnose import Engine

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ENGINE = IsoTpAddress(transmit_id=0x7E0, receive_id=0x7E8)


def test_a_sparkline_goes_from_the_lowest_to_the_highest() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5, 5]) == "▄▄▄"
    assert sparkline([]) == ""


@given(st.lists(st.floats(-1e6, 1e6), max_size=50))
def test_a_sparkline_has_a_bar_for_each_value(values: list[float]) -> None:
    assert len(sparkline(values)) == len(values)


def test_a_trace_keeps_range_age_and_course() -> None:
    trace = Trace()
    for second in range(LENGTH + 10):
        trace.add({"Vehicle.Speed": float(second)}, now=second)
    (row,) = trace.rows(now=LENGTH + 14)
    assert (row.value, row.low, row.high, row.age_s) == (LENGTH + 9, 0, LENGTH + 9, 5)
    assert len(row.course) == LENGTH


def test_a_tape_answers_as_the_car_did(tmp_path: Path) -> None:
    file = BytesIO()
    recorder = RecordingTester(ScriptedTester({"7E8": Engine()}), file)
    asked = (b"\x01\x00", b"\x03", b"\x01\x0d")
    answers = [recorder.functional(request, expected=None).answers for request in asked]
    with pytest.raises(AnswerError) as refused:
        recorder.physical(ENGINE, b"\x22\xf1\x90")
    path = tmp_path / "tape.jsonl"
    path.write_bytes(file.getvalue())
    tape = TapeTester(read_tape(path))
    assert [tape.functional(request, expected=None).answers for request in asked] == answers
    assert tape.functional(b"\x01\x0d", expected=None).answers == answers[2], "the last one again"
    with pytest.raises(AnswerError) as replayed:
        tape.physical(ENGINE, b"\x22\xf1\x90")
    assert str(replayed.value) == str(refused.value)
    assert tape.functional(b"\x09\x02", expected=None).reason(0.2) == "not on this recording"
    assert tape.unanswered == 1


def test_a_silent_question_stays_silent_on_tape(tmp_path: Path) -> None:
    file = BytesIO()
    RecordingTester(ScriptedTester({}), file).functional(b"\x03", expected=None)
    path = tmp_path / "tape.jsonl"
    path.write_bytes(file.getvalue())
    exchange = TapeTester(read_tape(path)).functional(b"\x03", expected=None)
    assert exchange.answers == {}
    assert exchange.reason(0.2) == "no answer in 200 ms"


@pytest.mark.parametrize("line", ["{", '{"ms": 1}', '{"ms": 1, "to": "all", "request": "0G"}', "\xff"])
def test_a_broken_tape_names_the_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_bytes(b'{"ms": 1, "to": "all", "request": "03"}\n' + line.encode("latin-1") + b"\n")
    with pytest.raises(SourceError, match=r"tape\.jsonl, line 2"):
        read_tape(path)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("can0", "write it as one of"),
        ("elm327:", "write it as one of"),
        ("can:socketcan", "name interface and channel"),
        ("can:slcan:/dev/ttyACM0@fast", "no number"),
        ("bluetooth:1", "write it as one of"),
    ],
)
def test_what_is_no_adapter(address: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        adapter_at(address)


def test_adapters_of_this_machine_are_found(tmp_path: Path) -> None:
    for name, kind in (("can0", "280"), ("eth0", "1"), ("can1", "280")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(kind + "\n")
    found = found_adapters(interfaces=tmp_path, serial_ports=lambda: ["/dev/ttyUSB0"])
    assert found == ("can:socketcan:can0", "can:socketcan:can1", "elm327:/dev/ttyUSB0")


def names(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


def test_the_doctor_looks_at_a_car_without_any_backend() -> None:
    checks = list(examine(lambda *_: ScriptedTester({"7E8": Engine()}), adapter="test", config=None, now=NOW))
    found = names(checks)
    assert (found["adapter"], found["ignition"], found["bus"]) == ("ok", "ok", "ok")
    assert found["broker"] == found["certificate"] == found["disk"] == "skipped"


def test_the_doctor_names_what_to_do_when_nobody_answers() -> None:
    checks = list(examine(lambda *_: ScriptedTester({}), adapter="test", config=None, now=NOW))
    failed = next(check for check in checks if check.verdict == "fail")
    assert failed.name == "ignition"
    assert "ignition on" in failed.remedy


def test_the_doctor_names_what_to_do_without_an_adapter() -> None:
    checks = list(examine(None, adapter="", config=None, now=NOW))
    assert (checks[0].name, checks[0].verdict) == ("adapter", "fail")


@pytest.mark.parametrize(
    ("error", "found", "remedy"),
    [
        ("can0 cannot be opened (it is down); bring it up: 'ip link …'", "can0 cannot be opened", "bring it up"),
        ("garbled", "garbled", "unplug it"),
    ],
)
def test_an_adapter_that_does_not_open_fails_with_its_remedy(error: str, found: str, remedy: str) -> None:
    def gone(_addresses: object, _bits: int) -> ScriptedTester:
        raise SourceError(error)

    failed = next(check for check in examine(gone, adapter="test", config=None, now=NOW) if check.verdict == "fail")
    assert failed.found.startswith(found)
    assert failed.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("now", "synchronised", "verdict"),
    [(NOW, True, "ok"), (NOW, False, "warn"), (datetime(1970, 1, 1, tzinfo=UTC), True, "warn")],
)
def test_the_clock(now: datetime, *, synchronised: bool, verdict: str) -> None:
    assert clock_check(now, synchronised=synchronised).verdict == verdict


def written(folder: Path, name: str, *, days: int = 400) -> TlsConfig:
    authority = trustme.CA()
    leaf = authority.issue_cert(common_name=name, not_after=datetime.now(UTC) + timedelta(days=days))
    certificate, key = folder / "device.pem", folder / "device.key"
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return TlsConfig(ca=folder / "ca.pem", certificate=certificate, key=key)


@pytest.mark.parametrize(
    ("name", "days", "verdicts"),
    [("car-1", 400, {"ok"}), ("car-2", 400, {"ok", "fail"}), ("car-1", 10, {"ok", "warn"})],
)
def test_a_certificate_names_the_device_and_lasts(tmp_path: Path, name: str, days: int, verdicts: set[str]) -> None:
    checks = list(certificate_checks(written(tmp_path, name, days=days), "car-1", datetime.now(UTC)))
    assert {check.verdict for check in checks} == verdicts


def test_an_expired_or_broken_certificate_fails(tmp_path: Path) -> None:
    tls = written(tmp_path, "car-1", days=5)
    late = datetime.now(UTC) + timedelta(days=6)
    assert any(check.verdict == "fail" for check in certificate_checks(tls, "car-1", late))
    assert tls.key is not None
    tls.key.write_text("not a key")
    (check,) = certificate_checks(tls, "car-1", late)
    assert (check.verdict, "bundle" in check.remedy) == ("fail", True)


def test_a_broker_that_is_not_there_fails_with_a_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        check = broker_check(MqttConfig(host="127.0.0.1", port=port))
    assert check.verdict == "fail"
    assert "outbox" in check.remedy


def test_a_broker_that_answers_is_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert broker_check(MqttConfig(host="127.0.0.1", port=server.getsockname()[1])).verdict == "ok"


def test_an_outbox_that_never_was_is_no_failure(tmp_path: Path) -> None:
    checks = list(disk_checks(tmp_path / "never" / "outbox.sqlite"))
    assert names(checks)["outbox"] == "skipped"
    assert json.dumps([check.found for check in checks])
