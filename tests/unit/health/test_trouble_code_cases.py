"""The urgency of codes against public guidance: which cases it judges otherwise is known, one by one."""

from health.trouble_code_urgency import urgency
from tests.benchmarks.health.measure_codes import rows
from tests.benchmarks.health.trouble_code_cases import LEVELS, cases

# Guidance is harder where it calls a fault of a sensor or a plug the fault it may hide, and milder of a repaired car.
_JUDGED_OTHERWISE = {
    "oil pressure sensor circuit": "milder",
    "camshaft sensor": "milder",
    "no contact with the engine control unit": "milder",
    "drive electronics overheat": "milder",
    "high voltage interlock open": "milder",
    "lean mixture seen once": "milder",
    "permanent code waits for its self-test": "stricter",
}


def test_what_is_judged_otherwise_than_by_guidance_is_known() -> None:
    found = {
        case.name: "milder" if LEVELS.index(judged) < LEVELS.index(case.expect) else "stricter"
        for case in cases()
        if (judged := urgency(case.evidence).level) != case.expect
    }
    assert found == _JUDGED_OTHERWISE


def test_every_case_has_its_own_name_and_both_halves_are_there() -> None:
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)
    assert {case.split for case in cases()} == {"fit", "judged"}
    assert {case.expect for case in cases() if case.split == "judged"} == set(LEVELS)


def test_the_benchmark_counts_each_case_once() -> None:
    for split in ("fit", "judged"):
        shares = [row.value for row in rows() if row.split == split]
        assert abs(sum(shares) - 100.0) < 1e-9, "agreeing, milder and stricter are all there is"
