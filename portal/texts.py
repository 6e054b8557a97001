"""What the pages say, in English and Chinese: ``texts.yaml``, read here only."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal, cast, get_args

import yaml

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@cache
def catalogue() -> Mapping[str, Mapping[Language, str]]:
    """Texts by key, then by language."""
    text = resources.files("portal").joinpath("texts.yaml").read_text(encoding="utf-8")
    return cast("Mapping[str, Mapping[Language, str]]", yaml.safe_load(text))


def say(key: str, language: Language, **values: object) -> str:
    """The text of a key with its ``{placeholders}`` filled. KeyError for an unknown key: a fault of the caller."""
    return catalogue()[key][language].format(**values)


def known(key: str) -> bool:
    """Whether there is such a text."""
    return key in catalogue()


def best_language(accept_language: str | None) -> Language:
    """The language a browser asks for, of those there are; English where it asks for neither."""
    for part in (accept_language or "").split(","):
        tag = part.split(";")[0].strip().lower()
        for language in LANGUAGES:
            if tag == language or tag.startswith(f"{language}-"):
                return language
    return "en"
