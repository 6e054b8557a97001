"""A source that chooses the profile itself: at plug-in, after a restart, in another car, and while an ECU sleeps."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edge_agent.errors import SourceError
from edge_agent.recognition.port import Change, Recognising
from edge_agent.recognition.profiles import Profiles
from edge_agent.recognition.source import FIRST_RETRY_S, RecognisingSource
from edge_agent.sources.base import Reading, ReadsCodesOnDemand
from edge_agent.tester.testing import ScriptedTester
from edge_agent.testing import ScriptedSource
from firmware_profiles.errors import ProfileError
from firmware_profiles.profile import VehicleProfile
from health.registry import build_estimators
from tests.unit.edge_agent.obd_support import Clock
from tests.unit.edge_agent.recognition_support import (
    ID4_VIN,
    KONA_VIN,
    PETROL,
    car,
    connects,
    id4,
    kona,
    own_answers,
    silverado,
)

SPEED = {"Vehicle.Speed": 50.0}


class AskableSource(ScriptedSource):
    """Counts how often trouble codes were asked for out of turn."""

    asked = 0

    def read_codes_soon(self) -> None:
        self.asked += 1


class SomeProfiles(Profiles):
    """Three that can be recognised, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.known: tuple[VehicleProfile, ...] = (kona(), id4(), silverado())
        self.version = "1"

    def load(self, name: str) -> VehicleProfile:
        for profile in self.known:
            if profile.name == name:
                return profile
        raise ProfileError(f"there is no {name}")

    def candidates(self) -> tuple[VehicleProfile, ...]:
        return self.known

    def digest(self) -> str:
        return self.version


class Bench:
    """A source over scripted cars; what was built by which profile stands in ``built``."""

    def __init__(self, *testers: ScriptedTester, readings: Sequence[Reading] = ()) -> None:
        self.connect, self.bits = connects(*testers)
        self.profiles = SomeProfiles()
        self.clock = Clock()
        self.built: list[VehicleProfile] = []
        self.readings = list(readings)
        self.source = self.fresh()

    def fresh(self) -> RecognisingSource:
        def build(profile: VehicleProfile) -> ScriptedSource:
            self.built.append(profile)
            self.inner = AskableSource(self._script())
            return self.inner

        return RecognisingSource(
            connect=self.connect,
            build=build,
            build_estimators=lambda profile: build_estimators(profile.kind, profile.health),
            profiles=self.profiles,
            clock=self.clock,
        )

    def _script(self) -> Iterator[Reading]:
        while self.readings:
            yield self.readings.pop(0)
        while True:
            yield Reading()

    def poll(self) -> Reading:
        reading = self.source.poll()
        assert reading is not None
        return reading


def kona_car(vin: str | None = KONA_VIN) -> ScriptedTester:
    return car(kona(), vin=vin)


def test_it_is_what_the_agent_looks_for() -> None:
    assert isinstance(Bench(kona_car()).source, Recognising)
    assert not isinstance(ScriptedSource([]), Recognising)


def test_trouble_codes_asked_for_out_of_turn_are_read_by_the_profile_that_was_chosen() -> None:
    bench = Bench(kona_car())
    assert isinstance(bench.source, ReadsCodesOnDemand)
    bench.source.read_codes_soon()  # nothing is open: nothing to ask
    bench.source.open()
    bench.source.read_codes_soon()
    assert bench.inner.asked == 1


def test_at_plug_in_the_car_is_recognised_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    tester = kona_car()
    bench = Bench(tester, readings=[Reading(values=SPEED), Reading(values=SPEED, vin=KONA_VIN)])
    with caplog.at_level(logging.INFO):
        bench.source.open()
    assert [profile.name for profile in bench.built] == ["hyundai_kona_electric"]
    assert bench.source.profile.name == "hyundai_kona_electric"
    assert tester.closed, "an adapter may serve one at a time"
    assert bench.source.take_change() == Change(other_car=False)
    assert bench.source.take_change() is None
    first = bench.poll()
    assert first.vin == KONA_VIN
    assert first.identified is not None
    assert first.identified.profile == "hyundai_kona_electric"
    assert first.identified.certainty > 0.9
    assert first.identified.reasons
    assert bench.poll().identified is None
    assert "read by the profile hyundai_kona_electric" in caplog.text
    assert KONA_VIN not in caplog.text
    assert {estimator.name for estimator in bench.source.estimators()} >= {"traction_battery"}


def test_an_unknown_car_gets_the_generic_profile_at_once() -> None:
    bench = Bench(car(vin="KNDC3DLC5N5000001", pids=PETROL), readings=[Reading(values=SPEED)])
    bench.source.open()
    assert [profile.name for profile in bench.built] == ["generic"]
    identified = bench.poll().identified
    assert identified is not None
    assert (identified.profile, identified.certainty) == ("generic", 1.0)


def test_a_generic_car_of_29_bit_identifiers_is_read_by_them() -> None:
    silent, answering = car(obd=None), car(obd="18DAF110", vin="KNDC3DLC5N5000001", pids=PETROL)
    bench = Bench(silent, answering)
    bench.source.open()
    assert bench.bits == [11, 29]
    assert bench.built[0].can.identifier_bits == 29
    again = Bench(car(obd=None))
    again.source.restore(bench.source.state())
    again.source.open()
    assert again.built[0].can.identifier_bits == 29


def test_a_restart_asks_nothing() -> None:
    bench = Bench(kona_car())
    bench.source.open()
    after = Bench(kona_car(), readings=[Reading(values=SPEED), Reading(vin=KONA_VIN)])
    after.source.restore(bench.source.state())
    assert after.source.profile.name == "hyundai_kona_electric", "estimators are made before the car is open"
    after.source.open()
    assert after.bits == []
    assert [profile.name for profile in after.built] == ["hyundai_kona_electric"]
    assert after.poll().identified is None, "not before the VIN says that it is the same car"
    told = after.poll()
    assert told.identified is not None
    assert told.identified.profile == "hyundai_kona_electric"
    assert after.source.take_change() is None


def test_another_vin_is_recognised_anew_and_its_first_values_are_not_believed() -> None:
    bench = Bench(kona_car())
    bench.source.open()
    other = Bench(car(id4(), vin=ID4_VIN), readings=[Reading(values=SPEED, vin=ID4_VIN)])
    other.source.restore(bench.source.state())
    other.source.open()
    told = other.poll()
    assert [profile.name for profile in other.built] == ["hyundai_kona_electric", "volkswagen_id4"]
    assert told.values == {}
    assert told.vin == ID4_VIN
    assert told.identified is not None
    assert told.identified.profile == "volkswagen_id4"
    assert other.source.take_change() == Change(other_car=True)


def test_back_in_a_known_car_nothing_is_asked() -> None:
    bench = Bench(kona_car(), car(id4(), vin=ID4_VIN))
    bench.readings = [Reading(vin=ID4_VIN)]
    bench.source.open()
    bench.poll()
    asked = len(bench.bits)
    bench.readings = [Reading(vin=KONA_VIN)]
    told = bench.poll()
    assert len(bench.bits) == asked
    assert told.identified is not None
    assert told.identified.profile == "hyundai_kona_electric"
    assert bench.source.take_change() == Change(other_car=True)


def test_while_an_ecu_sleeps_it_is_tried_again_later_and_less_and_less_often() -> None:
    asleep = car(vin=KONA_VIN)  # the VIN fits in part, and the ECUs that would confirm it are silent
    bench = Bench(asleep, asleep, kona_car())
    bench.source.open()
    assert bench.source.profile.name == "generic"
    bench.readings = [Reading(values=SPEED)] * 10
    bench.poll()
    assert len(bench.bits) == 1, "not at every reading"
    bench.clock.now += FIRST_RETRY_S
    bench.poll()
    assert len(bench.bits) == 2
    bench.clock.now += FIRST_RETRY_S
    bench.poll()
    assert len(bench.bits) == 2
    bench.source.take_change()
    bench.clock.now += FIRST_RETRY_S
    told = bench.poll()
    assert bench.source.profile.name == "hyundai_kona_electric"
    assert told.identified is not None
    assert bench.source.take_change() == Change(other_car=False)
    bench.clock.now += 100 * FIRST_RETRY_S
    bench.poll()
    assert len(bench.bits) == 3, "settled"


def test_a_silent_car_is_not_asked_again_before_it_answers() -> None:
    bench = Bench(car(obd=None))
    bench.source.open()
    asked = len(bench.bits)
    bench.clock.now += 10 * FIRST_RETRY_S
    bench.poll()
    assert len(bench.bits) == asked


def test_an_adapter_that_comes_and_goes_is_no_reason_to_ask_again() -> None:
    bench = Bench(car(obd=None))
    bench.source.open()
    asked = len(bench.bits)
    bench.source.open()
    assert len(bench.bits) == asked
    bench.clock.now += FIRST_RETRY_S
    bench.source.open()
    assert len(bench.bits) == 2 * asked


def test_new_profiles_let_a_generic_car_be_asked_again_and_a_chosen_one_not() -> None:
    bench = Bench(car(vin="KNDC3DLC5N5000001", pids=PETROL))
    bench.source.open()
    same = Bench(car(vin="KNDC3DLC5N5000001", pids=PETROL))
    same.source.restore(bench.source.state())
    same.source.open()
    assert same.bits == []
    updated = Bench(car(vin="KNDC3DLC5N5000001", pids=PETROL))
    updated.profiles.version = "2"
    updated.source.restore(bench.source.state())
    updated.source.open()
    assert updated.bits == [11]
    chosen = Bench(kona_car())
    chosen.source.open()
    later = Bench(kona_car())
    later.profiles.version = "2"
    later.source.restore(chosen.source.state())
    later.source.open()
    assert later.bits == []


def test_a_profile_that_is_gone_is_found_anew(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(kona_car())
    bench.source.open()
    after = Bench(kona_car())
    after.profiles.known = (id4(),)
    after.source.restore(bench.source.state())
    after.source.open()
    assert after.source.profile.name == "generic"
    assert "cannot be loaded" in caplog.text


@pytest.mark.parametrize("state", [None, {}, {"cars": 5}, "nonsense", {"cars": {"": {"profile": "x"}}}])
def test_a_state_that_cannot_be_taken_up_costs_a_recognition(state: object) -> None:
    bench = Bench(kona_car())
    bench.source.restore(state)
    bench.source.open()
    assert bench.source.profile.name == "hyundai_kona_electric"


def test_a_car_without_vin_is_told_with_its_first_values() -> None:
    profile = kona()
    tester = car(profile)
    assert len(own_answers(profile)) > 3
    bench = Bench(tester, readings=[Reading(), Reading(values=SPEED)])
    bench.source.open()
    assert bench.poll().identified is None
    told = bench.poll()
    assert told.identified is not None
    assert told.identified.profile == profile.name
    assert told.vin is None


def by_identifier(vin: str, profile: VehicleProfile) -> ScriptedTester:
    """A car whose VIN one ECU alone gives, by identifier: no standard request tells it."""
    gateway = next(iter(own_answers(profile))).address.ecu
    return car(profile, obd=None, more={gateway: {b"\x22\xf1\x90": b"\x62\xf1\x90" + vin.encode()}})


def test_where_standard_obd_tells_no_vin_a_start_asks_the_ecu_that_gave_it() -> None:
    """One question instead of a recognition; else a dongle moved to another car would go on with the former profile."""
    bench = Bench(by_identifier(ID4_VIN, id4()))
    bench.source.open()
    told = bench.poll()
    assert told.vin == ID4_VIN
    tester = by_identifier(ID4_VIN, id4())
    same = Bench(tester)
    same.source.restore(bench.source.state())
    same.source.open()
    assert [request for _, request in tester.asked] == [b"\x22\xf1\x90"]
    assert tester.closed
    assert same.poll().identified is not None
    other_vin = ID4_VIN[:-1] + "9"
    moved = Bench(by_identifier(other_vin, id4()))
    moved.source.restore(bench.source.state())
    moved.source.open()
    assert moved.poll().vin == other_vin
    assert moved.source.take_change() == Change(other_car=True)


def test_where_that_ecu_sleeps_the_car_is_told_with_its_first_values() -> None:
    bench = Bench(by_identifier(ID4_VIN, id4()))
    bench.source.open()
    asleep = Bench(car(obd=None), readings=[Reading(), Reading(values=SPEED)])
    asleep.source.restore(bench.source.state())
    asleep.source.open()
    assert asleep.source.profile.name == "volkswagen_id4"
    assert asleep.poll().identified is None
    assert asleep.poll().vin == ID4_VIN


def test_an_adapter_that_is_gone_is_a_source_error_and_nothing_is_remembered() -> None:
    tester = kona_car()
    tester.gone = True
    bench = Bench(tester)
    with pytest.raises(SourceError):
        bench.source.open()
    assert tester.closed
    assert bench.source.take_change() is None
    with pytest.raises(SourceError, match="not open"):
        bench.source.poll()
    tester.gone = False
    bench.source.open()
    assert bench.source.profile.name == "hyundai_kona_electric"


def test_a_dongle_remembers_its_latest_cars_only() -> None:
    bench = Bench(kona_car())
    bench.source.open()
    for number in range(20):
        bench.readings = [Reading(vin=f"KM8K33AG4LU0000{number + 10}")]
        bench.poll()
    state = bench.source.state()
    assert isinstance(state, dict)
    assert len(state["cars"]) == 8
    assert state["last"] == "KM8K33AG4LU000029"


def test_profiles_beside_the_configuration_are_candidates_and_a_wrong_one_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\ntitle: Mine\nextends: generic\nmatch: {vin: [KNDC3D]}\n")
    (tmp_path / "wrong.yaml").write_text("name: wrong\ntitle: Wrong\nextnds: generic\n")
    profiles = Profiles(tmp_path)
    assert "mine" in {profile.name for profile in profiles.candidates()}
    assert profiles.load("mine").title == "Mine"
    assert "did you mean 'extends'?" in caplog.text
    before = profiles.digest()
    (tmp_path / "wrong.yaml").unlink()
    assert profiles.digest() != before
    assert Profiles(tmp_path / "absent").generic.name == "generic"
