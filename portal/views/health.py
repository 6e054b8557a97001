"""Health cards: the value, its interval, where it comes from, when it will reach its limit, and the chart."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

from health.forecast import Forecast, TrajectoryPoint, foresee, prior_for
from ingest.reading_store import EstimatePoint, EstimateState
from portal.charts import Chart, ChartPoint, draw, gauge
from portal.formats import ago, day, day_short, number
from portal.texts import Language, known, say
from portal.views.quantities import Shown, Tone, shown_quantities, worst
from telemetry.records import UNCERTAIN

SOON: Final = timedelta(days=30)  # a limit forecast to be reached within this is worth a look
_LONGEST_PAST: Final = timedelta(days=240)  # shown of the past
_LONGEST_AHEAD: Final = timedelta(days=180)
_SHORTEST_AHEAD: Final = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What is known of one quantity at one place: newest estimates, the ECU's own first, and their past."""

    quantity: str
    position: str  # "" or a wheel
    latest: tuple[EstimateState, ...]  # at least one; ECU before estimated
    points: tuple[EstimatePoint, ...]  # of all sources, oldest first


@dataclass(frozen=True, kw_only=True)
class HealthItem:
    """One value: a card, or a wheel of a card."""

    key: str
    quantity: str
    position: str
    label: str
    value: float
    low: float
    high: float
    unit: str
    source: str  # ecu, estimated
    method: str
    time: datetime
    measurements: int | None
    limited_by: str
    basis_text: str | None  # how many measurements it rests on
    limited_text: str | None  # what keeps its interval wide
    uncertain: bool  # a guess: no figure is shown large, judged or forecast
    value_text: str
    interval_text: str
    source_text: str
    beside_text: str | None  # the other source's value
    tone: Tone
    tone_text: str
    limit: float
    forecast: Forecast | None
    forecast_text: str
    updated_text: str
    gauge: Markup
    chart: Markup | None


@dataclass(frozen=True, kw_only=True)
class HealthCard:
    """A quantity: one item, or one per wheel with the worst first."""

    quantity: str
    title: str
    about: str
    tone: Tone
    tone_text: str
    items: tuple[HealthItem, ...]

    @property
    def main(self) -> HealthItem:
        """What the card is about."""
        return self.items[0]


def by_place(estimates: Iterable[EstimateState]) -> dict[tuple[str, str], tuple[EstimateState, ...]]:
    """Newest estimates by (quantity, position), the ECU's own first; quantities that are not shown are left out."""
    places: dict[tuple[str, str], list[EstimateState]] = defaultdict(list)
    for estimate in estimates:
        if estimate.quantity in shown_quantities():
            places[estimate.quantity, estimate.position].append(estimate)
    return {
        place: tuple(sorted(found, key=lambda entry: (entry.source != "ecu", entry.method)))
        for place, found in sorted(places.items())
    }


def health_cards(
    curves: Sequence[Curve], *, now: datetime, language: Language, zone: ZoneInfo, charts: bool = True
) -> tuple[HealthCard, ...]:
    """Cards in the order of the page: what is most pressing first."""
    grouped: dict[str, list[HealthItem]] = defaultdict(list)
    for curve in curves:
        grouped[curve.quantity].append(health_item(curve, now=now, language=language, zone=zone, charts=charts))
    order = list(shown_quantities())
    cards = []
    for quantity in sorted(grouped, key=order.index):
        shown = shown_quantities()[quantity]
        items = sorted(grouped[quantity], key=lambda item: item.value, reverse=not shown.falling)
        tone = worst([item.tone for item in items])
        cards.append(
            HealthCard(
                quantity=quantity,
                title=say(f"quantity.{quantity}", language),
                about=say(f"about.{quantity}", language),
                tone=tone,
                tone_text=say(f"tone.{tone}", language),
                items=tuple(items),
            )
        )
    urgency = {"act": 0, "watch": 1, "good": 2, "unknown": 3}
    return tuple(sorted(cards, key=lambda card: urgency[card.tone]))


def health_item(curve: Curve, *, now: datetime, language: Language, zone: ZoneInfo, charts: bool = True) -> HealthItem:
    """Everything that is said about one value."""
    shown = shown_quantities()[curve.quantity]
    newest = curve.latest[0]
    own = [point for point in curve.points if point.source == newest.source]
    uncertain = newest.limited_by in UNCERTAIN
    charts = charts and not uncertain
    forecast, ahead = _foresee(own, shown, now) if charts else (None, ())
    tone = "unknown" if uncertain else shown.tone(newest.value)
    if tone == "good" and forecast is not None and forecast.median is not None and forecast.median - now <= SOON:
        tone = "watch"
    key = curve.quantity + (f"-{curve.position.replace('.', '-')}" if curve.position else "")
    label = say(f"wheel.{curve.position}", language) if curve.position else say(f"quantity.{curve.quantity}", language)
    value_text = say("health.uncertain", language) if uncertain else number(newest.value, shown.digits)
    forecast_text = _forecast_text(forecast, newest, shown, now=now, language=language, zone=zone)
    others = [
        f"{say(f'source.{entry.source}', language)}: {_with_interval(entry, shown, language)}"
        for entry in curve.latest[1:]
    ]
    ends = _ends(newest, shown)
    return HealthItem(
        key=key,
        quantity=curve.quantity,
        position=curve.position,
        label=label,
        value=newest.value,
        low=newest.low,
        high=newest.high,
        unit=shown.unit,
        source=newest.source,
        method=newest.method,
        time=newest.time,
        measurements=newest.measurements,
        limited_by=newest.limited_by,
        basis_text=_basis_text(newest, language),
        limited_text=_limited_text(newest, language),
        uncertain=uncertain,
        value_text=value_text,
        interval_text=say("health.interval", language, low=ends[0], high=ends[1], unit=shown.unit) if ends else "",
        source_text=say(f"source.{newest.source}", language),
        beside_text="; ".join(others) or None,
        tone=tone,
        tone_text=say(f"tone.{tone}", language),
        limit=shown.limit,
        forecast=forecast,
        forecast_text=forecast_text,
        updated_text=ago(newest.time, now, language),
        gauge=gauge(
            shown.fraction(newest.value),
            limit=shown.fraction(shown.limit),
            label=f"{label}: {value_text}" if uncertain else f"{label}: {value_text} {shown.unit}",
        ),
        chart=draw(_chart(curve, own, shown, forecast, ahead, key, label, forecast_text, now, language, zone))
        if charts and len(own) > 1
        else None,
    )


def _basis_text(entry: EstimateState, language: Language) -> str | None:
    if entry.measurements is None:
        return None
    if entry.measurements == 0:
        return say("basis.none", language)
    family = "basis_one" if entry.measurements == 1 else "basis"
    return say(f"{family}.{entry.quantity}", language, n=entry.measurements)


def _limited_text(entry: EstimateState, language: Language) -> str | None:
    """A word that this version does not know is shown as it is."""
    if not entry.limited_by:
        return None
    key = f"limited.{entry.limited_by}"
    return say("limited.by", language, what=say(key, language) if known(key) else entry.limited_by)


def _with_interval(entry: EstimateState, shown: Shown, language: Language) -> str:
    text = f"{number(entry.value, shown.digits)} {shown.unit}"
    if entry.limited_by in UNCERTAIN:
        text = say("health.uncertain", language)
    ends = _ends(entry, shown)
    return f"{text} ({ends[0]}\N{EN DASH}{ends[1]})" if ends else text


def _ends(entry: EstimateState, shown: Shown) -> tuple[str, str] | None:
    """The interval as it is written; None where both ends read alike: what an ECU tells is as good as its digits."""
    low, high = number(entry.low, shown.digits), number(entry.high, shown.digits)
    return None if low == high else (low, high)


def _foresee(
    points: Sequence[EstimatePoint], shown: Shown, now: datetime
) -> tuple[Forecast | None, tuple[TrajectoryPoint, ...]]:
    if not shown.forecast:
        return None, ()
    points = [point for point in points if point.limited_by not in UNCERTAIN]
    foresight = foresee(
        [point.time for point in points],
        [point.value for point in points],
        falling=shown.falling,
        now=now,
        prior=prior_for(shown.quantity),
        half_widths=[(point.high - point.low) / 2 for point in points],
    )
    if foresight is None:
        return None, ()
    forecast = foresight.crossing(shown.limit)
    ahead = _ahead(forecast, now).total_seconds() / 86_400
    return forecast, foresight.trajectory([ahead * step / 24 for step in range(25)])


def _ahead(forecast: Forecast | None, now: datetime) -> timedelta:
    """How far ahead the chart looks: a little beyond the limit, if it is in sight."""
    if forecast is None or forecast.median is None:
        return _SHORTEST_AHEAD
    return min(max((forecast.median - now) * 1.35, _SHORTEST_AHEAD), _LONGEST_AHEAD)


def _forecast_text(
    forecast: Forecast | None, newest: EstimateState, shown: Shown, *, now: datetime, language: Language, zone: ZoneInfo
) -> str:
    if not shown.forecast:
        return ""
    if newest.limited_by in UNCERTAIN:
        return say("forecast.uncertain", language)
    limit = f"{number(shown.limit)} {shown.unit}"
    if shown.tone(newest.value) == "act":
        return say("forecast.reached", language, limit=limit)
    if forecast is None:
        return say("forecast.too_few", language)
    if forecast.median is None:
        return say("forecast.far", language, limit=limit)
    if forecast.median - now < timedelta(days=1):
        return say("forecast.now", language, limit=limit)
    median = day(forecast.median, language, zone)
    early = day_short(forecast.early, language, zone) if forecast.early else "?"
    if forecast.late is None:
        return say("forecast.open", language, limit=limit, date=median, early=early)
    late = day_short(forecast.late, language, zone)
    return say("forecast.date", language, limit=limit, date=median, early=early, late=late)


def _chart(
    curve: Curve,
    own: Sequence[EstimatePoint],
    shown: Shown,
    forecast: Forecast | None,
    ahead: Sequence[TrajectoryPoint],
    key: str,
    label: str,
    forecast_text: str,
    now: datetime,
    language: Language,
    zone: ZoneInfo,
) -> Chart:
    start = max(own[0].time, now - _LONGEST_PAST)
    title = say("chart.title", language, what=label)
    description = say(
        "chart.description",
        language,
        what=label,
        start=day(start, language, zone),
        value=number(own[-1].value, shown.digits),
        unit=shown.unit,
        limit=number(shown.limit),
    )
    return Chart(
        key=f"chart-{key}",
        title=title,
        description=f"{description} {forecast_text}".strip(),
        unit=shown.unit,
        language=language,
        zone=zone,
        start=start,
        end=now + (_ahead(forecast, now) if shown.forecast else timedelta(days=2)),
        now=now,
        now_label=say("chart.now", language),
        history=[_point(p) for p in own if p.time >= start],
        beside=[_point(p) for p in curve.points if p.source != own[0].source and p.time >= start],
        forecast=[ChartPoint(time=p.time, value=p.median, low=p.low, high=p.high) for p in ahead],
        limit=shown.limit,
        limit_label=say("chart.limit", language, value=number(shown.limit), unit=shown.unit),
        crossing=None if forecast is None else forecast.median,
        lowest=shown.lowest,
        highest=shown.highest,
    )


def _point(point: EstimatePoint) -> ChartPoint:
    return ChartPoint(time=point.time, value=point.value, low=point.low, high=point.high)
