"""What is heard becomes one value per signal and period; faults and pages; readings merged."""

from dataclasses import fields
from pathlib import Path

from edge_agent.sources.base import Identified, ReadFault, Reading, TroubleCode
from edge_agent.sources.broadcast_dbc import compile_layouts
from edge_agent.sources.broadcast_frames import FrameFilter
from edge_agent.sources.broadcast_layout import EXTENDED, MessageLayout, MultiplexerLayout, SignalLayout
from edge_agent.sources.broadcast_listener import FIRST_S, SignalListener, merged
from tests.unit.edge_agent.broadcast_support import COOLANT, MAPPINGS, RPM, SPEED, engine, speed, write_dbc


def listener(folder: Path) -> SignalListener:
    return SignalListener(compile_layouts(write_dbc(folder), MAPPINGS), period_s=1.0)


def test_the_newest_value_is_given_once_a_period_and_signals_come_together(tmp_path: Path) -> None:
    heard = listener(tmp_path)
    assert heard.take(99.0) == Reading()
    taken = {}
    for tick in range(250):  # 100 frames a second for 2.5 s
        now = 100.0 + tick / 100
        heard.hear(180, speed(tick), now)
        heard.hear(256, engine(800 + tick, 90), now)
        reading = heard.take(now)
        if reading.values:
            taken[tick] = reading.values
    first = round(FIRST_S * 100)
    assert taken == {
        first: {SPEED: first, RPM: 800 + first, COOLANT: 90},
        first + 100: {SPEED: first + 100, RPM: 900 + first},
        first + 200: {SPEED: first + 200, RPM: 1000 + first},
    }


def test_a_signal_of_a_longer_period_comes_with_the_newest_of_it(tmp_path: Path) -> None:
    heard = listener(tmp_path)
    heard.hear(256, engine(800, 20), 0.0)
    heard.take(0.0)
    assert heard.take(0.5).values == {RPM: 800, COOLANT: 20}
    heard.hear(256, engine(810, 21), 4.0)
    assert heard.take(5.0).values == {RPM: 810}
    assert heard.take(10.5).values == {COOLANT: 21}


def test_what_is_no_longer_heard_is_not_given_again(tmp_path: Path) -> None:
    heard = listener(tmp_path)
    heard.hear(180, speed(50), 0.0)
    heard.take(0.0)
    assert heard.take(1.0).values == {SPEED: 50.0}
    assert heard.take(2.5) == Reading()
    assert heard.take(30.0) == Reading()
    heard.hear(180, speed(60), 31.0)
    assert heard.take(31.5).values == {SPEED: 60.0}


def test_after_a_standstill_there_is_one_reading_and_not_one_for_each_period_missed(tmp_path: Path) -> None:
    heard = listener(tmp_path)
    heard.hear(180, speed(50), 0.0)
    heard.take(0.0)
    heard.take(0.3)
    given = 0
    for tick in range(20):
        now = 500.0 + tick / 100
        heard.hear(180, speed(60), now)
        given += bool(heard.take(now).values)
    assert given == 1


def test_a_truncated_frame_is_a_fault_and_other_frames_are_not_looked_at(tmp_path: Path) -> None:
    heard = listener(tmp_path)
    heard.hear(180, b"\x01", 0.0)
    heard.hear(0x7FF, b"\x01", 0.0)
    heard.take(0.0)
    reading = heard.take(1.0)
    assert reading.values == {}
    assert reading.faults == (ReadFault(request="frame 0B4 SPEED", reason="1 bytes where the message has 8"),)


def test_each_page_keeps_its_own_newest_frame() -> None:
    def paged(path: str, page: int) -> SignalLayout:
        return SignalLayout(name=path, path=path, start=8, length=8, little_endian=True, when=((0, (page,)),))

    layout = MessageLayout(
        key=0x123 | EXTENDED,
        name="M",
        length=2,
        signals=(paged(SPEED, 1), paged(RPM, 2)),
        multiplexers=(MultiplexerLayout(start=0, length=8, little_endian=True),),
    )
    heard = SignalListener((layout,), period_s=1.0)
    assert heard.filters == (FrameFilter(key=0x123 | EXTENDED),)
    for page, value in ((1, 10), (2, 20), (1, 11), (7, 70)):
        heard.hear(0x123 | EXTENDED, bytes((page, value)), 0.0)
    heard.take(0.0)
    assert heard.take(1.0).values == {SPEED: 11.0, RPM: 20.0}


def test_readings_of_one_moment_become_one() -> None:
    code = TroubleCode(code="P0301", ecu="7E8", status="confirmed")
    other = TroubleCode(code="P0302", ecu="7E9", status="pending")
    fault = ReadFault(request="service 01 PID 0C", reason="no answer")
    heard = Reading(values={SPEED: 50.0, RPM: 800.0}, trouble_codes=(other,), ecus_read=frozenset({"7E9"}))
    who = Identified(profile="generic", certainty=0.5, reasons=("one",))
    frames = {("7E8", "P0301"): {SPEED: 80.0}}
    read = Reading(values={SPEED: 51.0}, vin="V", faults=(fault,), identified=who, freeze_frames=frames)
    assert merged((heard, read)) == Reading(
        values={SPEED: 51.0, RPM: 800.0},
        trouble_codes=(other,),
        ecus_read=frozenset({"7E9"}),
        vin="V",
        faults=(fault,),
        identified=who,
        freeze_frames=frames,
    )
    # every field is merged: one that is added to a reading must not get lost here
    assert {entry.name for entry in fields(Reading)} == {
        "values",
        "trouble_codes",
        "ecus_read",
        "vin",
        "time",  # of a recording, which nobody listens to
        "age_s",  # of a burst of voltages, which no bus tells
        "faults",
        "identified",
        "freeze_frames",
    }
    both = merged((heard, Reading(trouble_codes=(code,), ecus_read=frozenset({"7E8"}))))
    assert both.trouble_codes == (other, code)
    assert both.ecus_read == frozenset({"7E8", "7E9"})
    assert merged((heard, Reading(trouble_codes=()))).ecus_read is None
    assert merged((Reading(), Reading())) == Reading()
