"""What a hardware profile says of power: the currents a plan counts with, and the command that cuts the power."""

from pathlib import Path

import pytest

from firmware_profiles.errors import ProfileError
from firmware_profiles.loader import list_profiles, load_hardware_profile

BOARD = """name: mine
title: Mine
board: a board
arch: arm64
memory_mb: 512
interface: {kind: socketcan, channel: can0}
power: {controller: a relay, sleep_below_v: 12.9, sleep_hold: 1min, wake_above_v: 13.3, wake_hold: 3s"""


def profile(folder: Path, more: str = "") -> Path:
    path = folder / "mine.yaml"
    path.write_text(f"{BOARD}{more}}}\n", encoding="utf-8")
    return path


def test_a_profile_that_says_nothing_of_currents_counts_as_the_hungriest(tmp_path: Path) -> None:
    plan = load_hardware_profile(profile(tmp_path)).power
    hungriest = max(hardware.power.awake_ma for hardware in list_profiles().hardware)
    assert (plan.awake_ma, plan.off_command, plan.off_when) == (hungriest, (), "protected")


def test_what_it_says_is_taken(tmp_path: Path) -> None:
    plan = load_hardware_profile(
        profile(tmp_path, ", off_command: [power, 'off {wake_in_s}'], off_when: asleep, idle_ma: 60, off_ma: 0.5")
    ).power
    assert (plan.off_command, plan.off_when) == (("power", "off {wake_in_s}"), "asleep")
    assert (plan.idle_ma, plan.off_ma) == (60, 0.5)


def test_a_controller_that_gives_power_back_must_be_told_to_take_it(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"mine\.yaml: power: off_when is asleep, but no off_command"):
        load_hardware_profile(profile(tmp_path, ", off_when: asleep"))


def test_every_dongle_that_ships_can_be_cut_off() -> None:
    for hardware in list_profiles().hardware:
        assert hardware.power.off_command, hardware.name
        assert hardware.power.off_ma < 5, hardware.name
