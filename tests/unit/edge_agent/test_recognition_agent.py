"""The agent with a source that chooses the profile: estimators follow the car, and nothing of another car stays."""

from collections.abc import Sequence

from edge_agent.recognition.port import Change
from edge_agent.sources.base import Identified, Reading
from edge_agent.testing import ScriptedSource
from health.estimator import Estimator
from telemetry.records import EventKind
from tests.unit.edge_agent.service_support import Counting
from tests.unit.edge_agent.test_agent import SPEED, Bench, speeds

IDENTIFIED = Identified(profile="kona", certainty=0.97, reasons=("The VIN begins with KM8K.", "ECU 7EC answers."))
RECOGNITION = "recognition"


class Special(Counting):
    """The estimator of one profile alone."""

    name = "special"


class Choosing(ScriptedSource):
    """Says at given readings that it reads by another profile, whose estimators are given."""

    def __init__(self, script: Sequence[Reading | tuple[Change, list[Estimator], Reading]]) -> None:
        super().__init__([each[2] if isinstance(each, tuple) else each for each in script])
        self._changes = [each[:2] if isinstance(each, tuple) else None for each in script]
        self._change: Change | None = None
        self.made: list[Estimator] = [Counting()]
        self.restored: list[object] = []

    def poll(self) -> Reading | None:
        change = self._changes.pop(0) if self._changes else None
        if change is not None:
            self._change, self.made = change
        return super().poll()

    def restore(self, state: object) -> None:
        self.restored.append(state)

    def state(self) -> object:
        return {"estimators": [estimator.name for estimator in self.made]}

    def estimators(self) -> list[Estimator]:
        return self.made

    def take_change(self) -> Change | None:
        change, self._change = self._change, None
        return change


def run(bench: Bench, *script: Reading | tuple[Change, list[Estimator], Reading]) -> Choosing:
    source = Choosing(script)
    bench.agent(source).run(bench.stop)
    return source


def test_what_is_found_out_is_kept_and_given_back_at_the_next_start() -> None:
    bench = Bench()
    first = run(bench, (Change(other_car=False), [Special()], Reading(values={SPEED: 1})))
    assert first.restored == [None]
    assert bench.outbox.state(RECOGNITION) == {"estimators": ["special"]}
    again = run(bench, *speeds(2))
    assert again.restored == [{"estimators": ["special"]}]


def test_estimators_of_the_chosen_profile_take_over_with_what_is_known_of_the_car() -> None:
    bench = Bench()
    before, after = Counting(), Counting()
    source = Choosing([*speeds(1, 2), (Change(other_car=False), [after], Reading(values={SPEED: 3})), *speeds(4)])
    source.made = [before]
    bench.agent(source).run(bench.stop)
    assert (before.count, after.count) == (2, 4)
    assert [sample.values[SPEED] for sample in bench.backend.samples] == [1, 2, 3, 4]
    assert bench.backend.estimates[-1].value == 4


def test_nothing_learned_of_another_car_is_taken_over() -> None:
    bench = Bench()
    other = Counting()
    run(bench, *speeds(1, 2), (Change(other_car=True), [other, Special()], Reading(values={SPEED: 3})))
    assert other.count == 1
    assert bench.outbox.state("estimator.counting") == {"count": 1}
    back = Special()
    run(bench, (Change(other_car=True), [back], Reading(values={SPEED: 4})))
    assert back.count == 1
    assert bench.outbox.state("estimator.counting") is None


def test_a_source_that_is_told_its_profile_is_left_alone() -> None:
    bench = Bench()
    bench.run(*speeds(1))
    assert bench.outbox.state(RECOGNITION) is None
    assert bench.estimator.count == 1


def test_the_event_says_profile_certainty_and_reasons() -> None:
    bench = Bench()
    run(bench, Reading(values={SPEED: 1}, vin="KM8K33AG4LU048123", identified=IDENTIFIED), *speeds(2))
    (event,) = bench.backend.told(EventKind.VEHICLE_IDENTIFIED)
    assert event.data == {
        "vin": "KM8K33AG4LU048123",
        "profile": "kona",
        "certainty": 0.97,
        "reasons": ["The VIN begins with KM8K.", "ECU 7EC answers."],
    }
