"""Position against Euro 7's battery durability: which stage, what margin, and what the straight line says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health.durability import CATEGORIES, Category, Durability, durability, stage_at
from health.errors import HealthError


def position(
    value: float = 90.0,
    *,
    age: float | None = 2.5,
    km: float | None = 40_000,
    half: float = 2.0,
    category: Category = "M1",
) -> Durability | None:
    return durability(value=value, low=value - half, high=value + half, age_years=age, mileage_km=km, category=category)


@pytest.mark.parametrize(
    ("age", "km", "category", "required"),
    [
        (0.0, 0.0, "M1", 80),
        (5.0, 100_000, "M1", 80),
        (5.1, 10_000, "M1", 72),
        (1.0, 100_001, "M1", 72),
        (8.0, 160_000, "M1", 72),
        (4.9, 99_000, "N1", 75),
        (6.0, 99_000, "N1", 67),
        (8.1, 20_000, "M1", None),
        (3.0, 160_001, "N1", None),
        (None, 120_000, "M1", 72),
        (6.0, None, "N1", 67),
        (None, None, "M1", None),
    ],
)
def test_the_stage_is_of_age_or_distance_whichever_comes_first(
    age: float | None, km: float | None, category: Category, required: float | None
) -> None:
    stage = stage_at(age, km, category)
    assert (None if stage is None else stage.required) == required


def test_the_margin_has_the_interval_of_the_state_of_health() -> None:
    found = position(83.0, half=1.5)
    assert found is not None
    assert (found.margin, found.low, found.high) == (3.0, 1.5, 4.5)
    assert found.certain


def test_the_line_goes_on_as_since_first_registration() -> None:
    found = position(92.0, age=2.5, km=40_000, half=1.0)  # half of the stage, by its age
    assert found is not None
    assert found.outlook is not None
    assert found.outlook.value == pytest.approx(84.0)
    assert [found.outlook.low, found.outlook.high] == pytest.approx([82.0, 86.0])
    assert found.outlook.holds is True


def test_a_car_driven_much_ends_its_stage_earlier() -> None:
    found = position(92.0, age=1.25, km=80_000, half=0.0)  # 80 % used up by distance
    assert found is not None
    assert found.outlook is not None
    assert found.outlook.value == pytest.approx(90.0)


@pytest.mark.parametrize(("value", "holds"), [(95.0, True), (90.0, None), (86.0, False)])
def test_whether_it_holds_is_said_only_where_the_interval_allows(value: float, holds: bool | None) -> None:
    found = position(value, half=1.0)
    assert found is not None
    assert found.outlook is not None
    assert found.outlook.holds is holds


def test_a_young_car_has_a_margin_and_no_outlook() -> None:
    found = position(99.0, age=0.3, km=4_000)
    assert found is not None
    assert (found.margin, found.outlook) == (19.0, None)


def test_where_one_is_unknown_it_is_said() -> None:
    for age, km in ((None, 30_000), (2.0, None)):
        found = position(age=age, km=km)
        assert found is not None
        assert not found.certain
    assert position(age=None, km=None) is None
    assert position(age=9.0, km=50_000) is None


@pytest.mark.parametrize(
    ("values", "age", "km"),
    [((90, 95, 99), 1, 1), ((90, 89, 92), -1, 1), ((90, 89, 92), 1, float("nan")), ((float("nan"), 0, 100), 1, 1)],
)
def test_numbers_that_cannot_be_are_refused(values: tuple[float, float, float], age: float, km: float) -> None:
    value, low, high = values
    with pytest.raises(HealthError):
        durability(value=value, low=low, high=high, age_years=age, mileage_km=km)


@given(st.floats(40, 105), st.floats(0, 10), st.floats(0, 8), st.floats(0, 160_000), st.sampled_from(CATEGORIES))
def test_the_end_of_a_stage_never_looks_better_than_now(
    value: float, half: float, age: float, km: float, category: Category
) -> None:
    found = durability(
        value=value, low=value - half, high=value + half, age_years=age, mileage_km=km, category=category
    )
    assert found is not None
    assert found.low <= found.margin <= found.high
    if found.outlook is not None:
        assert found.outlook.value <= max(value, 100.0) + 1e-9
        assert found.outlook.low <= found.outlook.value <= found.outlook.high
