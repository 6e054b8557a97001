"""Conditions in the Common Expression Language (CEL): compiled and checked when loaded, three-valued when evaluated.

An absent value makes an expression unknown, except where the rest of ``&&`` or ``||`` decides it alone; CEL's own
error absorption gives exactly this. ``has()`` would turn silence into an answer and is refused.

Measured facts of the library (``cel`` 0.10): comparisons mix int and double, arithmetic does not (``x + 1`` fails on
a double, ``x + 1.0`` works); a compiled program is shared between threads; a missing key raises KeyError.
"""

import difflib
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import cel

from rules.errors import EvaluationError, RuleError

Kind = Literal["double", "string", "bool"]
Value = float | str | bool

_TOKEN = re.compile(
    r"""
      //[^\n]*
    | [rRbB]{0,2}(?P<string>\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    | 0[xX][0-9a-fA-F]+[uU]?
    | (?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)[uU]?
    | (?P<dot>\.\s*)?(?P<chain>[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*)(?P<after>\s*[(\[])?
    """,
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"true", "false", "null", "in"}
_RESULT: dict[Kind, tuple[type, ...]] = {"double": (float, int), "string": (str,), "bool": (bool,)}
_SAMPLES: dict[Kind, tuple[Value, ...]] = {
    "double": (-1e9, -1.0, 0.0, 1.0, 50.0, 100.0, 1e9),
    "string": ("", "confirmed", "P0301"),
    "bool": (False, True),
}
_TRIALS = 64  # assignments tried at load time, so that a type error hidden behind && or || shows


class Expression:
    """A compiled condition or value. Immutable; may be evaluated in any number of threads at once."""

    def __init__(self, source: str, *, result: Kind, vocabulary: Mapping[str, Kind], where: str) -> None:
        """Compile; ``vocabulary`` maps each dotted variable to its kind, ``where`` begins each error's text."""
        self.source = source
        self._result = result
        try:
            self._program = cel.compile(source)
        except ValueError as error:
            raise RuleError(f"{where}: {error}") from error
        self.paths = tuple(sorted(set(_paths(source, where))))
        for path in self.paths:
            if path not in vocabulary:
                raise RuleError(f"{where}: unknown variable {path!r}{nearest(path, vocabulary)}")
        roots = {path.split(".")[0] for path in self.paths}
        if roots != set(self._program.variables()):
            strange = sorted(roots ^ set(self._program.variables()))
            raise RuleError(f"{where}: {strange[0]!r} is no variable of a rule; write each one as a dotted name")
        self._try_types({path: vocabulary[path] for path in self.paths}, where)

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def evaluate(self, values: Mapping[str, Value]) -> Value | None:
        """Result for dotted name -> value, or None (unknown) where an absent value decides.

        Raises EvaluationError where the values have types the expression cannot take.
        """
        variables: dict[str, object] = {path.split(".")[0]: {} for path in self.paths if "." in path}
        for path in self.paths:
            if path in values:
                _put(variables, path, values[path])
        try:
            result: Value = self._program.execute(variables)
        except KeyError:
            return None
        except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            raise EvaluationError(f"{self.source!r} cannot be computed: {error}") from error
        if not isinstance(result, _RESULT[self._result]) or (self._result == "double" and isinstance(result, bool)):
            raise EvaluationError(f"{self.source!r} gives {type(result).__name__}, not {self._result}")
        return float(result) if self._result == "double" else result

    def _try_types(self, kinds: Mapping[str, Kind], where: str) -> None:
        draw = random.Random(self.source)
        samples = _samples(self.source)
        for _ in range(_TRIALS):
            values = {path: draw.choice(samples[kind]) for path, kind in kinds.items()}
            try:
                self.evaluate(values)
            except EvaluationError as error:
                raise RuleError(f"{where}: {error}") from error


def nearest(word: str, words: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the nearest of the words, or nothing."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _put(variables: dict[str, object], path: str, value: Value) -> None:
    *parents, leaf = path.split(".")
    node = variables
    for name in parents:
        child = node.setdefault(name, {})
        assert isinstance(child, dict)
        node = child
    node[leaf] = value


def _samples(source: str) -> Mapping[Kind, tuple[Value, ...]]:
    """Values to try an expression with: those it compares with itself open the branches behind the comparison."""
    tokens = list(_TOKEN.finditer(source))
    strings = tuple(token["string"].strip("\"'") for token in tokens if token["string"])
    numbers = [float(token["number"]) for token in tokens if token["number"]]
    around = tuple(number + step for number in numbers for step in (-1.0, 0.0, 1.0))
    return {
        "double": _SAMPLES["double"] + around,
        "string": _SAMPLES["string"] + strings,
        "bool": _SAMPLES["bool"],
    }


def _paths(source: str, where: str) -> Iterator[str]:
    for token in _TOKEN.finditer(source):
        chain, after = token["chain"], (token["after"] or "").strip()
        if not chain or chain in _WORDS:
            continue
        names = re.split(r"\s*\.\s*", chain)
        if after == "[":
            raise RuleError(f"{where}: {chain}[…] cannot be checked when loaded; write the name with a dot")
        if after == "(":
            called = names.pop()
            if called == "has" and not token["dot"]:
                raise RuleError(
                    f"{where}: has() would turn silence into an answer; an absent value is unknown by itself"
                )
        if names and token["dot"]:
            raise RuleError(f"{where}: '.{chain}' hangs on no variable; write the whole dotted name")
        if names:
            yield ".".join(names)
