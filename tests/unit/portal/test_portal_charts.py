"""Charts: valid markup, places that follow the values, and nothing that a content policy would refuse."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.charts import HEIGHT, WIDTH, Chart, ChartPoint, draw, gauge, nice_ticks, time_ticks

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SVG = "{http://www.w3.org/2000/svg}"


def point(day: float, value: float, spread: float = 2.0) -> ChartPoint:
    return ChartPoint(time=NOW + day * DAY, value=value, low=value - spread, high=value + spread)


CHART = Chart(
    key="oil",
    title="Oil & life",
    description="falls <steadily>",
    unit="%",
    language="en",
    zone=ZoneInfo("Europe/Berlin"),
    start=NOW - 60 * DAY,
    end=NOW + 40 * DAY,
    now=NOW,
    now_label="today",
    history=[point(day, 40 + -0.5 * day) for day in range(-60, 1)],
    forecast=[point(day, 40 - 0.5 * day, 2 + day / 5) for day in range(0, 41, 4)],
    limit=25.0,
    limit_label="Limit 25 %",
    crossing=NOW + 30 * DAY,
    lowest=0,
    highest=100,
)


def parse(chart: Chart) -> ET.Element:
    return ET.fromstring(f'<x xmlns="http://www.w3.org/2000/svg">{draw(chart)}</x>')[0]  # noqa: S314 - our own


def by_class(svg: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in svg.iter() if name in element.get("class", "").split()]


def places(element: ET.Element) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in element.get("points", "").split())
    return [(float(x), float(y)) for x, y in pairs]


def test_a_chart_is_wellformed_and_speaks() -> None:
    svg = parse(CHART)
    title, description = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert (title.text, description.text) == ("Oil & life", "falls <steadily>")
    assert svg.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert svg.get("role") == "img"


def test_the_policy_of_the_pages_allows_it() -> None:
    markup = str(draw(CHART))
    assert "style=" not in markup
    assert "<script" not in markup
    assert "href" not in markup


def test_history_falls_and_the_forecast_goes_on_where_it_ends() -> None:
    svg = parse(CHART)
    (line,), (forecast,) = by_class(svg, "chart-line"), by_class(svg, "chart-forecast")
    history, ahead = places(line), places(forecast)
    assert all(later[0] > earlier[0] for earlier, later in pairwise(history))
    assert all(later[1] > earlier[1] for earlier, later in pairwise(history))  # y grows downwards
    assert ahead[0] == history[-1]


def test_the_crossing_lies_on_the_limit_line() -> None:
    svg = parse(CHART)
    (mark,), (limit,) = by_class(svg, "chart-crossing"), by_class(svg, "chart-limit")
    assert mark.get("cy") == limit.get("y1")
    assert "1 Apr" in [text.text for text in svg.iter(f"{SVG}text")]


def test_a_limit_already_reached_has_no_mark_ahead() -> None:
    assert not by_class(parse(replace(CHART, crossing=NOW)), "chart-crossing")


def test_a_long_silence_is_not_drawn_over() -> None:
    gap = replace(CHART, history=[p for p in CHART.history if not -40 < (p.time - NOW).days < -20])
    assert len(by_class(parse(gap), "chart-line")) == 2


def test_the_band_is_as_wide_as_the_interval() -> None:
    (band,) = by_class(parse(replace(CHART, forecast=())), "chart-band")
    (line,) = by_class(parse(CHART), "chart-line")
    upper, middle = places(band)[0], places(line)[0]
    assert upper[0] == middle[0]
    assert upper[1] < middle[1]


def test_one_value_is_a_dot_and_none_is_an_empty_chart() -> None:
    assert len(by_class(parse(replace(CHART, history=[point(-3, 30)], forecast=())), "chart-line-dot")) == 1
    assert not by_class(parse(replace(CHART, history=(), forecast=())), "chart-line")


def test_a_chart_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="must end after"):
        draw(replace(CHART, end=CHART.start))


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_ticks_enclose_the_range_evenly(low: float, size: float) -> None:
    ticks = nice_ticks(low, low + size)
    assert ticks[0] <= low + 1e-6
    assert ticks[-1] >= low + size - 1e-6
    assert 2 <= len(ticks) <= 8
    steps = {round(b - a, 6) for a, b in pairwise(ticks)}
    assert max(steps) - min(steps) < 1e-5


@given(st.integers(1, 900))
def test_days_are_marked_in_order_and_not_too_many(days: int) -> None:
    ticks = time_ticks(NOW, NOW + days * DAY, ZoneInfo("Europe/Berlin"))
    assert len(ticks) <= 7
    assert list(ticks) == sorted(set(ticks))


@given(st.lists(st.floats(-500, 500), min_size=2, max_size=20))
def test_everything_stays_inside_the_view_box(values: list[float]) -> None:
    history = [point(-50 + 2 * index, value, 30) for index, value in enumerate(values)]
    for name in ("chart-line", "chart-band"):
        for element in by_class(parse(replace(CHART, history=history, forecast=())), name):
            assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places(element))


def test_a_gauge_fills_by_its_fraction_and_says_its_value() -> None:
    markup = gauge(0.42, limit=0.1, label='Oil "42" %')
    assert 'class="gauge-fill" width="42.0"' in markup
    assert "&#34;42&#34;" in markup
    assert 'width="100.0"' in gauge(7.0, limit=None, label="")
