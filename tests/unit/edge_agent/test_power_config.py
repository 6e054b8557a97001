"""The section ``power`` of agent.yaml: what comes from the hardware profile, what is refused, where it is told."""

import json
from pathlib import Path

import pytest
import yaml

from edge_agent import build_can
from edge_agent.config import AgentConfig, load_config
from edge_agent.errors import ConfigurationError
from edge_agent.power.build import FOUND, build_watch
from edge_agent.power.config import KEYS
from edge_agent.power.watch import CarWatch, Elm327Voltmeter
from edge_agent.section import Section

PAGE = Path(__file__).parents[3] / "docs" / "installers.md"
EVERY_KEY = """
mode: governed
protect_below_v: 12.35
sensor_error_v: 0.05
battery: agm
sleep_below_v: 12.95
sleep_hold: 90s
wake_above_v: 13.4
wake_hold: 2s
parking_mah: 1500
mah_per_day: {full: 100, fair: 50, low: 10}
wakes_per_day: {full: 4, fair: 2, low: 1}
car_awake_ma: 1500
ask_every: 20min
awake_ma: 150
idle_ma: 60
off_ma: 1
off_command: "power-hat off --after 5 --wake {wake_in_s}"
off_when: asleep
voltage: {file: volts, scale: 0.01}
ignition: {file: line}
"""


def load(folder: Path, **more: object) -> AgentConfig:
    document = {"device": "car-1", "vehicle_profile": "generic", "source": {"kind": "obd_can"}, **more}
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return load_config(path, {})


def test_without_a_hardware_profile_nothing_is_saved_and_with_one_everything(tmp_path: Path) -> None:
    assert load(tmp_path).power.mode == "off"
    power = load(tmp_path, hardware_profile="pi_zero_2w_mcp2515").power
    assert (power.mode, power.off_command) == ("governed", ("systemctl", "poweroff"))
    assert (power.settings.awake_ma, power.settings.off_when) == (165.0, "asleep")
    assert (power.settings.sleep_below_v, power.settings.wake_hold_s) == (12.9, 3.0)


def test_every_key_is_read_and_stands_before_the_profile(tmp_path: Path) -> None:
    section = yaml.safe_load(EVERY_KEY)
    assert section.keys() == KEYS.keys()
    power = load(tmp_path, hardware_profile="pi_zero_2w_mcp2515", power=section).power
    settings = power.settings
    assert (settings.protect_below_v, settings.sensor_error_v, settings.chemistry) == (12.35, 0.05, "agm")
    assert (settings.sleep_below_v, settings.sleep_hold_s) == (12.95, 90.0)
    assert (settings.wake_above_v, settings.wake_hold_s) == (13.4, 2.0)
    assert (settings.parking_mah, settings.car_awake_ma, settings.ask_every_s) == (1500, 1500, 1200.0)
    assert [(tier.mah_per_day, tier.wakes_per_day) for tier in settings.tiers] == [(100, 4), (50, 2), (10, 1)]
    assert (settings.awake_ma, settings.idle_ma, settings.off_ma, settings.off_when) == (150, 60, 1, "asleep")
    assert power.off_command == ("power-hat", "off", "--after", "5", "--wake", "{wake_in_s}")
    assert power.voltage is not None
    assert (power.voltage.file, power.voltage.scale) == (tmp_path / "volts", 0.01)
    assert power.ignition is not None
    assert (power.ignition.file, power.ignition.on) == (tmp_path / "line", "1")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"power": {"mode": "governed"}}, "power.off_command: is missing, and so is any way to stop the board"),
        ({"power": {"mode": "governd"}}, "did you mean 'governed'"),
        ({"power": {"sleep_hld": "5s"}}, "unknown key; did you mean 'sleep_hold'"),
        ({"power": {"sleep_below_v": 13.5}}, "power: sleep_below_v 13.5 is not below wake_above_v 13.3"),
        ({"power": {"protect_below_v": 11.8}}, "such a battery may not start the car"),
        ({"power": {"protect_below_v": 12.2, "battery": "agm", "sensor_error_v": 0.8}}, "even a full battery"),
        ({"power": {"voltage": {"scale": 2}}}, "power.voltage: give either file (with scale) or adapter"),
        ({"power": {"off_command": "say 'it"}}, "power.off_command: cannot be split into words"),
        ({"hardware_profile": "pi_zero_2w_mcp2516"}, "hardware_profile: no hardware profile 'pi_zero_2w_mcp2516'"),
        ({"source": {"kind": "replay_csv", "path": "x"}, "power": {"mode": "supplied"}}, "a recording is no car"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_mistake_is_named_with_its_remedy(tmp_path: Path, more: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, **more)
    assert says in str(raised.value)


def test_a_battery_of_agm_rests_higher_and_so_does_its_threshold(tmp_path: Path) -> None:
    power = {"battery": "agm"}
    assert load(tmp_path, hardware_profile="pi_4_mcp251xfd", power=power).power.settings.protect_below_v == 12.35
    with pytest.raises(ConfigurationError, match=r"below 12\.15"):
        load(tmp_path, hardware_profile="pi_4_mcp251xfd", power={**power, "protect_below_v": 12.1})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"kind": "obd_can"}, ("socketcan", "can0", None, False)),
        ({"kind": "obd_can", "interface": "slcan", "channel": "/dev/ttyACM0", "bitrate": 250_000},
         ("slcan", "/dev/ttyACM0", 250_000, True)),
        ({"kind": "obd_can", "interface": "slcan", "channel": "/dev/ttyACM1", "bitrate": "auto"},
         ("slcan", "/dev/ttyACM1", 500_000, True)),
        ({"kind": "obd_can", "interface": "slcan", "channel": "/dev/ttyACM0", "bitrate": "auto"},
         ("slcan", "/dev/ttyACM0", 250_000, True)),
    ],
    ids=["system's", "fixed", "not found yet", "found"],
)  # fmt: skip
def test_the_parked_car_is_listened_to_where_it_was_asked_and_silently_where_that_can_be(
    tmp_path: Path, source: dict[str, object], expected: tuple[object, ...]
) -> None:
    (tmp_path / FOUND).write_text(json.dumps({"CAN bus slcan:/dev/ttyACM0": 250_000}), encoding="utf-8")
    config = load(tmp_path, source=source, outbox={"path": "outbox.sqlite"})
    watch = build_watch(config, wait=lambda _seconds: None)
    assert isinstance(watch, CarWatch)
    assert watch._where is not None
    bus = watch._where()
    assert (bus.interface, bus.channel, bus.bitrate, bus.listen_only) == expected
    assert build_can._MEMORY == FOUND


def test_an_elm327_measures_by_itself(tmp_path: Path) -> None:
    watch = build_watch(load(tmp_path, source={"kind": "obd_elm327", "port": "/dev/ttyUSB0"}), wait=lambda _s: None)
    assert isinstance(watch, CarWatch)
    assert isinstance(watch._voltmeter, Elm327Voltmeter)
    assert watch._where is None


def test_the_installers_page_has_every_key_with_its_meaning_and_the_example_loads(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for key, meaning in KEYS.items():
        assert f"| `{key}` | {meaning} |" in page
    example = page.partition("<!-- the power plan -->\n\n```yaml\n")[2].partition("```")[0]
    path = tmp_path / "agent.yaml"
    path.write_text(f"device: car-1\nsource: {{kind: obd_can}}\n{example}", encoding="utf-8")
    assert load_config(path, {}).power.mode == "governed"
    assert Section.load(path).has("power")
