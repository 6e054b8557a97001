"""What a rule is, and how one YAML file becomes one. Everything that can be wrong with a rule is said here, on loading.

A file looks like ``rulebook/oil_life_low.yaml``; its name without ``.yaml`` is the rule's id, the hash of its content
(examples left out) its version.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Literal, cast

from rules.errors import RuleError
from rules.expression import Expression, Kind, nearest
from rules.texts import check_text, placeholders_of
from rules.vocabulary import WHEEL_QUANTITIES, input_of, vocabulary
from rules.yaml_file import duration, load_yaml, localized, section
from telemetry.records import Quantity
from telemetry.trouble_codes import JOBS, SEVERITIES, Severity

ForEach = Literal["vehicle", "wheel", "trouble_code"]
_FOR_EACH = ("vehicle", "wheel", "trouble_code")
REQUIRED_KEYS = {"for_each", "when", "needs", "severity", "title", "text", "examples"}
KEYS = REQUIRED_KEYS | {"applies_to", "clear", "for", "limit", "forecast", "severity_from", "show", "book", "book_from"}
_FORECAST_KEYS = {"quantity", "falling", "history"}
_EXAMPLE_KEYS = {"name", "given", "expect", "previously"}


@dataclass(frozen=True, kw_only=True)
class ForecastSpec:
    """The forecast a rule needs: when ``quantity`` crosses the rule's limit, seen from ``history``."""

    quantity: Quantity
    falling: bool
    history: timedelta


@dataclass(frozen=True, kw_only=True)
class Example:
    """What the rule must say of an input: the rule's own test. ``given``: input -> value, or its fields and ``age``."""

    name: str
    given: Mapping[str, object]
    expect: Literal["fires", "ok", "unknown"]
    previously_firing: bool


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A checked rule. ``hold`` is the `for` of the file: how long `when` must hold, in sample time."""

    id: str
    version: str
    for_each: ForEach
    applies_to: Expression | None
    when: Expression
    clear: Expression | None  # None: when `when` no longer holds
    hold: timedelta
    needs: Mapping[str, timedelta]  # input -> age from which it is as good as absent
    limit: float | None  # in the unit of what it is compared with
    forecast: ForecastSpec | None
    severity: Severity
    severity_from: Expression | None  # gives a severity; `severity` stands where it is unknown
    show: Mapping[str, Expression]  # placeholder -> number shown in the texts
    title: Mapping[str, str]  # by language
    text: Mapping[str, str]
    job: str | None  # workshop job to book
    job_from: Expression | None  # gives the job instead; "" books none
    examples: tuple[Example, ...]


@cache
def rulebook() -> tuple[Rule, ...]:
    """The rules that ship with this version, loaded once."""
    return load_rules(resources.files("rules").joinpath("rulebook"))


def load_rules(folder: Traversable) -> tuple[Rule, ...]:
    """All rules of a folder in order of their id; RuleError names the file that is wrong."""
    if not folder.is_dir():
        raise RuleError(f"{folder}: there is no such folder of rules")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    if not files:
        raise RuleError(f"{folder}: no *.yaml in it; a rulebook needs at least one rule")
    return tuple(parse_rule(file.read_text(encoding="utf-8"), file.name) for file in files)


def parse_rule(text: str, file: str) -> Rule:
    """Rule of a YAML text; RuleError names file, path in it and the nearest valid word."""
    document = section(load_yaml(text, file), file, allowed=KEYS, required=REQUIRED_KEYS)
    for_each = _choice(document["for_each"], _FOR_EACH, f"{file}: for_each")
    limit = None if "limit" not in document else _number(document["limit"], f"{file}: limit")
    names = vocabulary(for_each, limit=limit is not None)
    forecast = _forecast(document, limit, for_each, file)

    def expression(key: str, result: Kind) -> Expression | None:
        if key not in document:
            return None
        return Expression(
            _string(document[key], f"{file}: {key}"), result=result, vocabulary=names, where=f"{file}: {key}"
        )

    when = expression("when", "bool")
    assert when is not None
    clear = expression("clear", "bool")
    severity_from = expression("severity_from", "string")
    job_from = expression("book_from", "string")
    if job_from is not None and "book" in document:
        raise RuleError(f"{file}: `book` and `book_from` contradict each other; keep one")
    show = {
        name: Expression(
            _string(source, f"{file}: show.{name}"), result="double", vocabulary=names, where=f"{file}: show.{name}"
        )
        for name, source in _mapping(document.get("show", {}), f"{file}: show").items()
    }
    applies_to = expression("applies_to", "bool")
    if applies_to is not None and any(input_of(path) for path in applies_to.paths):
        raise RuleError(f"{file}: applies_to may name vehicle.* only; put conditions on readings into `when`")
    used = [one for one in (when, clear, severity_from, job_from, *show.values()) if one is not None]
    needs = _needs(document["needs"], used, names, forecast, file)
    title, texts = localized(document["title"], f"{file}: title"), localized(document["text"], f"{file}: text")
    known = placeholders_of(for_each, shown=show, limit=limit is not None, forecast=forecast is not None)
    for path, localized_text in (("title", title), ("text", texts)):
        for language, one_text in localized_text.items():
            check_text(one_text, known, f"{file}: {path}.{language}")
    return Rule(
        id=file.removesuffix(".yaml"),
        version=_version(document),
        for_each=cast("ForEach", for_each),
        applies_to=applies_to,
        when=when,
        clear=clear,
        hold=duration(document.get("for", "0s"), f"{file}: for"),
        needs=needs,
        limit=limit,
        forecast=forecast,
        severity=cast("Severity", _choice(document["severity"], SEVERITIES, f"{file}: severity")),
        severity_from=severity_from,
        show=show,
        title=title,
        text=texts,
        job=None if "book" not in document else _choice(document["book"], JOBS, f"{file}: book"),
        job_from=job_from,
        examples=_examples(document["examples"], needs, file),
    )


def _version(document: Mapping[str, object]) -> str:
    content = {key: value for key, value in document.items() if key != "examples"}
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _needs(
    value: object, used: Iterable[Expression], names: Iterable[str], forecast: ForecastSpec | None, file: str
) -> dict[str, timedelta]:
    known = {name for path in names if (name := input_of(path)) is not None}
    needs: dict[str, timedelta] = {}
    for name, age in _mapping(value, f"{file}: needs").items():
        if name not in known:
            raise RuleError(f"{file}: needs: unknown input {name!r}{nearest(name, known)}")
        needs[name] = duration(age, f"{file}: needs.{name}")
        if not needs[name]:
            raise RuleError(f"{file}: needs.{name}: an age of nothing is never met; give how old it may be")
    inputs = {name for one in used for path in one.paths if (name := input_of(path)) is not None}
    for name in sorted(inputs - set(needs)):
        raise RuleError(f"{file}: needs: {name!r} is used and has no age; say how old it may be, e.g. '{name}: 14d'")
    for name in sorted(set(needs) - inputs):
        raise RuleError(f"{file}: needs: {name!r} is used nowhere{nearest(name, inputs)}")
    for name in inputs:
        if name.startswith("forecast.") and (forecast is None or name != f"forecast.{forecast.quantity}"):
            raise RuleError(
                f"{file}: {name!r} is used; say how under `forecast` (quantity, falling, history) and give a `limit`"
            )
    return needs


def _forecast(document: Mapping[str, object], limit: float | None, for_each: str, file: str) -> ForecastSpec | None:
    if "forecast" not in document:
        return None
    where = f"{file}: forecast"
    fields = section(document["forecast"], where, allowed=_FORECAST_KEYS, required=_FORECAST_KEYS)
    if limit is None:
        raise RuleError(f"{file}: a forecast needs a `limit` to cross")
    quantity = Quantity(_choice(fields["quantity"], tuple(Quantity), f"{where}.quantity"))
    if (quantity in WHEEL_QUANTITIES) != (for_each == "wheel"):
        raise RuleError(
            f"{where}.quantity: {quantity} goes with for_each: {'vehicle' if for_each == 'wheel' else 'wheel'}"
        )
    if not isinstance(fields["falling"], bool):
        raise RuleError(f"{where}.falling: expected true (the limit is crossed downwards) or false")
    return ForecastSpec(
        quantity=quantity, falling=fields["falling"], history=duration(fields["history"], f"{where}.history")
    )


def _examples(value: object, needs: Mapping[str, timedelta], file: str) -> tuple[Example, ...]:
    if not isinstance(value, list) or not value:
        raise RuleError(f"{file}: examples: give at least one; they are the rule's test")
    examples = []
    for number, entry in enumerate(value):
        where = f"{file}: examples[{number}]"
        fields = section(entry, where, allowed=_EXAMPLE_KEYS, required=_EXAMPLE_KEYS - {"previously"})
        given = _mapping(fields["given"], f"{where}.given")
        for name in given:
            if name not in needs:
                raise RuleError(f"{where}.given: {name!r} is no input of this rule{nearest(name, needs)}")
        expect = _choice(fields["expect"], ("fires", "ok", "unknown"), f"{where}.expect")
        previously = _choice(fields.get("previously", "ok"), ("fires", "ok"), f"{where}.previously")
        examples.append(
            Example(
                name=_string(fields["name"], f"{where}.name"),
                given=given,
                expect=cast("Literal['fires', 'ok', 'unknown']", expect),
                previously_firing=previously == "fires",
            )
        )
    return tuple(examples)


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise RuleError(f"{where}: expected a mapping of names")
    return value


def _string(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise RuleError(f"{where}: expected a text; put it in quotes")
    return value.strip()


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RuleError(f"{where}: expected a number, got {value!r}")
    return float(value)


def _choice(value: object, choices: Iterable[str], where: str) -> str:
    choices = [str(choice) for choice in choices]
    if value not in choices:
        raise RuleError(f"{where}: {value!r} is none of {', '.join(choices)}{nearest(str(value), choices)}")
    return str(value)
