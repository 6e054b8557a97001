"""Charts of health over time as SVG, drawn on the server: pure, a record in and markup out.

Colours and line styles come from the page's style sheet by class, so that a chart follows light and dark schemes, and
nothing here needs a script or an inline style. Measured and forecast parts differ by dashes too, not by colour alone.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from portal.formats import day_short, month_short, number
from portal.texts import Language
from telemetry.records import require_aware

WIDTH: Final = 360  # of the view box: text stays legible where the chart fills a phone
HEIGHT: Final = 208
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 12.0, 20.0, 26.0
_MOST_TICKS: Final = 6
_LONG_SILENCE: Final = 0.12  # of the width: a line is not drawn across it
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class ChartPoint:
    """A value with its 90 % interval (the value itself where there is none), in the chart's unit."""

    time: datetime
    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        require_aware(self.time, "ChartPoint.time")


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One quantity over time. ``lowest`` and ``highest`` are the range shown unless values lie beyond."""

    key: str  # unique on the page
    title: str
    description: str  # what the chart shows, in words
    unit: str
    language: Language
    zone: ZoneInfo
    start: datetime
    end: datetime
    now: datetime
    now_label: str
    history: Sequence[ChartPoint]
    beside: Sequence[ChartPoint] = ()  # the same from another source, drawn thinner and without interval
    forecast: Sequence[ChartPoint] = ()
    limit: float | None = None
    limit_label: str = ""
    crossing: datetime | None = None  # when the forecast's median meets the limit
    lowest: float
    highest: float
    digits: int = 0  # after the point, on the axis


def draw(chart: Chart) -> Markup:
    """The chart as an ``svg`` element."""
    plane = _Plane(chart)
    parts = [
        _band([p for p in chart.history if p.high > p.low], plane, "chart-band"),
        _band(chart.forecast, plane, "chart-band chart-band-forecast"),
        _values_axis(chart, plane),
        _time_axis(chart, plane),
        _limit(chart, plane),
        *(_line(run, plane, "chart-beside") for run in _runs(chart.beside, plane)),
        *(_line(run, plane, "chart-line") for run in _runs(chart.history, plane)),
        _line(chart.forecast, plane, "chart-forecast"),
        _now(chart, plane),
        _crossing(chart, plane),
    ]
    return Markup(  # noqa: S704 - numbers of our own, and texts escaped here
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-labelledby="{escape(chart.key)}-title {escape(chart.key)}-desc">'
        f'<title id="{escape(chart.key)}-title">{escape(chart.title)}</title>'
        f'<desc id="{escape(chart.key)}-desc">{escape(chart.description)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def gauge(fraction: float, *, limit: float | None, label: str) -> Markup:
    """A bar filled to ``fraction`` (0 to 1), with a mark at ``limit``."""
    filled = min(max(fraction, 0.0), 1.0) * 100
    mark = (
        "" if limit is None else f'<rect class="gauge-limit" x="{limit * 100 - 0.5:.1f}" y="0" width="1" height="8"/>'
    )
    return Markup(  # noqa: S704 - numbers of our own, and a text escaped here
        f'<svg class="gauge" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        '<rect class="gauge-track" width="100" height="8" rx="1.5"/>'
        f'<rect class="gauge-fill" width="{filled:.1f}" height="8" rx="1.5"/>{mark}</svg>'
    )


class _Plane:
    """Times and values -> places in the view box."""

    def __init__(self, chart: Chart) -> None:
        require_aware(chart.start, "Chart.start")
        if not chart.start < chart.end:
            raise ValueError(f"a chart must end after it starts: {chart.start} .. {chart.end}")
        self.start, self.seconds = chart.start, (chart.end - chart.start).total_seconds()
        measured = [p.value for p in (*chart.history, *chart.beside)]
        limits = [] if chart.limit is None else [chart.limit]
        low, high = min([chart.lowest, *measured, *limits]), max([chart.highest, *measured, *limits])
        self.ticks = nice_ticks(low, high)
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def x(self, moment: datetime) -> float:
        return _LEFT + (moment - self.start).total_seconds() / self.seconds * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def nice_ticks(low: float, high: float, most: int = _MOST_TICKS) -> tuple[float, ...]:
    """Round values (1, 2, 2.5 or 5 times a power of ten apart) that enclose a range."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        high = low + 1.0
    raw = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return tuple(round(index * step, 10) for index in range(first, last + 1))


def time_ticks(start: datetime, end: datetime, zone: ZoneInfo) -> tuple[date, ...]:
    """Local days to mark: each so many days or months, at most six."""
    first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    days = (last - first).days
    for step in (1, 2, 7, 14):
        if days / step <= _MOST_TICKS:
            return tuple(first + timedelta(days=n) for n in range(step, days + 1, step))
    months = max(1, math.ceil(days / 30.4 / _MOST_TICKS))
    ticks = []
    month = first.year * 12 + first.month  # the month after the first, counted from year 0
    while (tick := date(month // 12, month % 12 + 1, 1)) <= last:
        if (month % 12) % months == 0 or months > 12:
            ticks.append(tick)
        month += 1
    return tuple(ticks)


def _values_axis(chart: Chart, plane: _Plane) -> str:
    step = plane.ticks[1] - plane.ticks[0]
    digits = max(chart.digits, 0 if float(step).is_integer() else 1)
    rows = []
    for tick in plane.ticks:
        y = plane.y(tick)
        rows.append(
            f'<line class="chart-grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="chart-tick" x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">'
            f"{number(tick, digits)}</text>"
        )
    unit = f'<text class="chart-unit" x="{_LEFT - 5}" y="{_TOP - 8}" text-anchor="end">{escape(chart.unit)}</text>'
    return "".join(rows) + unit


def _time_axis(chart: Chart, plane: _Plane) -> str:
    base = HEIGHT - _BOTTOM
    marks = []
    ticks = time_ticks(chart.start, chart.end, chart.zone)
    by_month = all(tick.day == 1 for tick in ticks)
    for tick in ticks:
        x = plane.x(datetime(tick.year, tick.month, tick.day, tzinfo=chart.zone))
        if not _LEFT <= x <= WIDTH - _RIGHT:
            continue
        first_of_year = tick.month == 1 and tick.day == 1
        label = (
            (str(tick.year) if first_of_year else month_short(tick, chart.language))
            if by_month
            else day_short(tick, chart.language, chart.zone)
        )
        anchor = "end" if x > WIDTH - 30 else "middle"
        marks.append(
            f'<line class="chart-mark" x1="{x:.1f}" x2="{x:.1f}" y1="{base:.1f}" y2="{base + 4:.1f}"/>'
            f'<text class="chart-tick" x="{x:.1f}" y="{base + 16:.1f}" text-anchor="{anchor}">{escape(label)}</text>'
        )
    return "".join(marks)


def _limit(chart: Chart, plane: _Plane) -> str:
    if chart.limit is None:
        return ""
    y = plane.y(chart.limit)
    above = y - 4 if y > _TOP + 14 else y + 12
    return (
        f'<line class="chart-limit" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="chart-limit-label" x="{_LEFT + 4}" y="{above:.1f}">{escape(chart.limit_label)}</text>'
    )


def _now(chart: Chart, plane: _Plane) -> str:
    if not chart.start < chart.now < chart.end:
        return ""
    x = plane.x(chart.now)
    return (
        f'<line class="chart-now" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
        f'<text class="chart-now-label" x="{x:.1f}" y="{_TOP - 8}" text-anchor="middle">'
        f"{escape(chart.now_label)}</text>"
    )


def _crossing(chart: Chart, plane: _Plane) -> str:
    if chart.crossing is None or chart.limit is None or not chart.now < chart.crossing <= chart.end:
        return ""
    x, y = plane.x(chart.crossing), plane.y(chart.limit)
    anchor = "end" if x > WIDTH - 60 else "start" if x < _LEFT + 40 else "middle"
    below = y + 17 if y < HEIGHT - _BOTTOM - 20 else y - 9
    if below < y and anchor == "middle":
        anchor, x = "start", x + 4  # away from the falling line
    label = day_short(chart.crossing, chart.language, chart.zone)
    return (
        f'<circle class="chart-crossing" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        f'<text class="chart-crossing-label" x="{x:.1f}" y="{below:.1f}" text-anchor="{anchor}">{escape(label)}</text>'
    )


def _runs(points: Sequence[ChartPoint], plane: _Plane) -> Iterable[Sequence[ChartPoint]]:
    """Parts of a series between long silences."""
    longest = plane.seconds * _LONG_SILENCE
    begin = 0
    for index in range(1, len(points)):
        if (points[index].time - points[index - 1].time).total_seconds() > longest:
            yield points[begin:index]
            begin = index
    yield points[begin:]


def _line(points: Sequence[ChartPoint], plane: _Plane, css: str) -> str:
    if not points:
        return ""
    if len(points) == 1:
        x, y = plane.x(points[0].time), plane.y(points[0].value)
        return f'<circle class="{css}-dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
    places = " ".join(f"{plane.x(p.time):.1f},{plane.y(p.value):.1f}" for p in points)
    return f'<polyline class="{css}" points="{places}"/>'


def _band(points: Sequence[ChartPoint], plane: _Plane, css: str) -> str:
    if len(points) < 2:
        return ""
    upper = [f"{plane.x(p.time):.1f},{plane.y(p.high):.1f}" for p in points]
    lower = [f"{plane.x(p.time):.1f},{plane.y(p.low):.1f}" for p in reversed(points)]
    return f'<polygon class="{css}" points="{" ".join(upper + lower)}"/>'
