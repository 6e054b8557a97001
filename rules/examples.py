"""A rule's own examples, judged by the engine: what the file says of itself must be true."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from rules.context import WHEELS, CrossingForecast, Reading, TroubleCode, VehicleContext, forecast_keys, wheel_column
from rules.errors import RuleError
from rules.evaluate import Decision, RuleState, evaluate
from rules.rule import Example, Rule
from rules.yaml_file import duration
from telemetry.catalogue import catalogue
from telemetry.records import Quantity

_NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
_NOBODY = UUID(int=0)
_VERDICT: Mapping[str, Literal["fires", "ok", "unknown"]] = {"firing": "fires", "ok": "ok", "unknown": "unknown"}


@dataclass(frozen=True, kw_only=True)
class ExampleResult:
    """What the rule says of its example. ``decision`` holds the texts where an alert opened."""

    example: Example
    verdict: Literal["fires", "ok", "unknown"]
    decision: Decision

    @property
    def passed(self) -> bool:
        """Whether the rule says what its file promises."""
        return self.verdict == self.example.expect


def run_example(rule: Rule, example: Example) -> ExampleResult:
    """Judge the example with the rule's `for` already over. RuleError where its input makes no sense."""
    subject = {"vehicle": "", "wheel": WHEELS[0], "trouble_code": _code_of(example)}[rule.for_each]
    before = RuleState(
        rule_id=rule.id,
        subject=subject,
        state="firing" if example.previously_firing else "pending",
        since=_NOW - rule.hold,
        pending_since=None if example.previously_firing else _NOW - timedelta(days=365) - rule.hold,
        rule_version=rule.version,
    )
    decision = evaluate(rule, _context(rule, subject, example), before, _NOW)
    assert decision.state is not None
    return ExampleResult(example=example, verdict=_VERDICT[decision.state.state], decision=decision)


def _code_of(example: Example) -> str:
    given = example.given.get("code", {})
    return str(given.get("code", "P0301")) if isinstance(given, dict) else "P0301"


def _context(rule: Rule, subject: str, example: Example) -> VehicleContext:
    signals: dict[str, Reading] = {}
    estimates: dict[tuple[Quantity, str], tuple[Reading, ...]] = {}
    codes: dict[str, TroubleCode] = {}
    forecast: CrossingForecast | None = None
    for name, given in example.given.items():
        fields: dict[str, Any] = dict(given) if isinstance(given, dict) else {"value": given}
        time = _NOW - duration(fields.pop("age", "0s"), f"{rule.id}.yaml: {example.name}: {name}.age")
        root, _, rest = name.partition(".")
        if root == "code":
            frame: Mapping[str, Any] = fields.get("frame", {})  # by column of the catalogue
            codes[subject] = TroubleCode(
                status=str(fields.get("status", "confirmed")),
                ecu=str(fields.get("ecu", "7E8")),
                mil=bool(fields.get("mil", False)),
                first_seen=time,
                last_seen=time,
                days_seen=int(fields.get("days_seen", 1)),
                frame={catalogue().by_column(column).path: float(value) for column, value in frame.items()},
            )
        elif root == "forecast":
            forecast = _forecast(fields, time)
        elif rest in set(Quantity):
            estimates[Quantity(rest), subject] = (_estimate(fields, time, f"{rule.id}.yaml: {example.name}: {name}"),)
        else:
            column = wheel_column(rest, subject) if root == "wheel" else rest
            signals[column] = Reading(time=time, fields={"": _plain(fields["value"])}, source="ecu")
    return VehicleContext(
        vehicle_id=_NOBODY,
        signals=signals,
        estimates=estimates,
        trouble_codes=codes,
        forecasts=dict.fromkeys(forecast_keys(rule, subject), forecast),
    )


def _plain(value: object) -> float | bool:
    return value if isinstance(value, bool) else float(str(value))


def _estimate(fields: Mapping[str, Any], time: datetime, where: str) -> Reading:
    if "value" not in fields:
        raise RuleError(f"{where}: give a number, or a mapping with value, low and high")
    value = float(fields["value"])
    low, high = float(fields.get("low", value)), float(fields.get("high", value))
    source = str(fields.get("source", "estimated"))
    return Reading(time=time, fields={"value": value, "low": low, "high": high, "source": source}, source=source)


def _forecast(fields: Mapping[str, Any], time: datetime) -> CrossingForecast:
    def moment(name: str) -> datetime | None:
        return _NOW + timedelta(days=float(fields[name])) if name in fields else None

    return CrossingForecast(
        time=time,
        probability_30d=float(fields["probability_30d"]),
        median=moment("days"),
        early=moment("days_early"),
        late=moment("days_late"),
    )
