"""Time that survives restarts and never runs backwards."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import clock as clock_module
from edge_agent.clock import SystemClock, restamped
from telemetry.records import Sample, ms_from_utc

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


class Machine:
    """A machine whose clocks are set by hand."""

    def __init__(self, wall: datetime = NOON) -> None:
        self.wall = ms_from_utc(wall)
        self.boottime = 5_000
        self.synchronised = False

    def clock(self, last_known: Path | None = None) -> SystemClock:
        return SystemClock(
            last_known,
            wall_ms=lambda: self.wall,
            boottime_ms=lambda: self.boottime,
            synchronised=lambda: self.synchronised,
            set_from_rtc=lambda: False,
            kernel_boot=lambda: "kernel-1",
        )

    def pass_time(self, seconds: float) -> None:
        self.wall += round(seconds * 1000)
        self.boottime += round(seconds * 1000)


def test_each_start_is_a_boot_of_its_own() -> None:
    assert Machine().clock().boot != Machine().clock().boot


def test_the_system_clock_is_followed_forwards() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.pass_time(10)
    assert clock.now() == NOON + timedelta(seconds=10)
    machine.wall += 86_400_000
    assert clock.now() == NOON + timedelta(days=1, seconds=10)


@given(steps=st.lists(st.tuples(st.integers(0, 10_000_000), st.integers(-(10**12), 10**12)), max_size=30))
def test_time_never_runs_backwards(steps: list[tuple[int, int]]) -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    for passed, jump in steps:
        machine.boottime += passed
        machine.wall = max(0, machine.wall + passed + jump)
        moment = clock.now()
        assert moment - before >= timedelta(milliseconds=passed)
        before = moment


def test_without_a_clock_time_goes_on_from_the_last_known(tmp_path: Path) -> None:
    file = tmp_path / "last-known-time"
    Machine().clock(file).remember()
    machine = Machine(wall=datetime(1970, 1, 1, tzinfo=UTC))
    clock = machine.clock(file)
    machine.pass_time(3)
    assert clock.now() == NOON + timedelta(seconds=3)


def test_the_file_is_refreshed_now_and_then(tmp_path: Path) -> None:
    file = tmp_path / "last-known-time"
    machine = Machine()
    clock = machine.clock(file)
    clock.remember()
    machine.pass_time(899)
    clock.remember()
    assert int(file.read_text()) == ms_from_utc(NOON)
    machine.pass_time(1)
    clock.remember()
    assert int(file.read_text()) == ms_from_utc(NOON) + 900_000


@pytest.mark.parametrize("content", ["", "soon", "9" * 40])
def test_a_broken_file_is_no_time(tmp_path: Path, content: str) -> None:
    file = tmp_path / "last-known-time"
    file.write_text(content)
    assert Machine().clock(file).now() == NOON


def test_samples_are_put_right_when_the_clock_was() -> None:
    sample = Sample(time=datetime(1970, 1, 1, tzinfo=UTC), monotonic_ms=4_000, values={})
    assert restamped(sample, now=NOON, monotonic_ms=10_000).time == NOON - timedelta(seconds=6)
    right = Sample(time=NOON - timedelta(milliseconds=5_500), monotonic_ms=4_000, values={})
    assert restamped(right, now=NOON, monotonic_ms=10_000) is right


def test_a_time_that_lay_in_the_future_is_left_once_the_clock_is_synchronised(tmp_path: Path) -> None:
    """Otherwise one wrong second would date all that comes later, over every restart, and the backend refuses it."""
    file = tmp_path / "last-known-time"
    Machine(wall=NOON.replace(year=2090)).clock(file).remember()
    machine = Machine()
    clock = machine.clock(file)
    assert clock.now().year == 2090  # nothing says which of both is right
    machine.synchronised = True
    assert clock.now() == NOON
    clock.remember()
    assert Machine().clock(file).now() == NOON


def test_a_time_put_right_is_written_down_at_once(tmp_path: Path) -> None:
    file = tmp_path / "last-known-time"
    machine = Machine(NOON.replace(year=2090))
    clock = machine.clock(file)
    clock.remember()
    machine.wall = ms_from_utc(NOON)
    machine.synchronised = True
    clock.now()
    clock.remember()
    assert int(file.read_text(encoding="ascii")) == ms_from_utc(NOON)


def test_a_disk_that_takes_no_time_does_not_end_the_agent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    clock = machine.clock(tmp_path / "absent" / "last-known-time")
    for _ in range(3):
        clock.remember()
        machine.pass_time(901)
    assert len(caplog.records) == 1


def test_a_folder_in_place_of_the_file_is_no_time(tmp_path: Path) -> None:
    assert Machine().clock(tmp_path).now() == NOON


def test_a_machine_that_has_just_started_without_a_clock_is_unsure_for_two_minutes() -> None:
    machine = Machine(wall=datetime(1970, 1, 1, tzinfo=UTC))
    clock = machine.clock()
    assert clock.unsure
    machine.pass_time(120)
    assert not clock.unsure  # nobody will tell it the time


def test_a_machine_is_sure_once_it_was_told_the_time() -> None:
    told, synchronised = Machine(wall=datetime(1970, 1, 1, tzinfo=UTC)), Machine()
    clock = told.clock()
    told.wall = ms_from_utc(NOON)
    clock.now()
    assert not clock.unsure
    synchronised.synchronised = True
    assert not synchronised.clock().unsure


def test_the_offset_takes_a_step_with_the_clock_and_none_with_time() -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.offset_ms()
    machine.pass_time(1_000)
    assert clock.offset_ms() == before
    machine.wall += 3_600_000
    assert clock.offset_ms() == before + 3_600_000


def test_it_is_later_than_the_newest_data() -> None:
    clock = Machine().clock()
    clock.not_before(NOON + timedelta(days=2))
    assert clock.now() == NOON + timedelta(days=2)
    clock.not_before(NOON)
    assert clock.now() == NOON + timedelta(days=2)


def test_a_start_of_the_machine_has_one_name_whoever_tells_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """systemd writes it without dashes, the kernel with them; hardening may hide the kernel's."""
    monkeypatch.setattr(clock_module, "KERNEL_BOOT", tmp_path / "boot_id")
    monkeypatch.delenv(clock_module.KERNEL_BOOT_VARIABLE, raising=False)
    assert SystemClock().kernel_boot != SystemClock().kernel_boot  # nobody tells: each run for itself
    (tmp_path / "boot_id").write_text("3a871c93-1c74-4c9b-bbe9-fef09309e90b\n")
    told_by_the_kernel = SystemClock().kernel_boot
    (tmp_path / "boot_id").unlink()
    monkeypatch.setenv(clock_module.KERNEL_BOOT_VARIABLE, "3a871c931c744c9bbbe9fef09309e90b")
    assert SystemClock().kernel_boot == told_by_the_kernel
