"""Texts: both languages say the same things, and everything a page asks for exists."""

import re
from importlib import resources
from string import Formatter

import pytest

from portal.rendering import NOTICES, templates
from portal.texts import LANGUAGES, best_language, catalogue, say
from portal.views.quantities import TONES, shown_quantities
from rules.booking.transitions import BookingState
from rules.services import AXLES, JOBS, MEASURES, WHEELS
from telemetry.records import EventKind, Limitation, ServiceAction

CHINESE = re.compile(r"[一-鿿]")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_both_languages_say_it_with_the_same_placeholders(key: str) -> None:
    entry = catalogue()[key]
    assert set(entry) == set(LANGUAGES)
    assert placeholders(entry["en"]) == placeholders(entry["zh"])
    assert not CHINESE.search(entry["en"])


def test_what_templates_ask_for_exists_and_nothing_is_left_over() -> None:
    sources = [
        file.read_text(encoding="utf-8")
        for folder in ("templates", "views", "pages", ".")
        for file in resources.files("portal").joinpath(folder).iterdir()
        if file.name.endswith((".html", ".py"))
    ]
    text = "\n".join(sources)
    asked = set(re.findall(r"""\b(?:t|say)\(\s*['"]([a-z_0-9.]+[a-z_0-9])['"]\s*[,)]""", text))
    assert asked <= set(catalogue())
    # Keys put together at run time, by their beginning.
    families = ("severity", "tone", "condition", "source", "quantity", "short", "about", "wheel", "code", "signal",
                "event", "state", "notice", "problem", "error", "device", "filter", "offer", "basis", "basis_one",
                "limited", "axle", "job", "measure", "service", "suspicion", "durability")  # fmt: skip
    left = {key for key in catalogue() if key not in asked and not key.startswith(tuple(f"{f}." for f in families))}
    assert not left, f"texts nobody shows: {sorted(left)}"


def test_every_word_of_the_domain_has_a_text() -> None:
    needed = [f"state.{state}" for state in BookingState]
    needed += [f"event.{kind}" for kind in EventKind]
    needed += [f"notice.{name}" for name in NOTICES]
    needed += [f"{part}.{tone}" for tone in TONES for part in ("tone", "condition")]
    needed += [
        f"{part}.{name}"
        for name in shown_quantities()
        for part in ("quantity", "short", "about", "basis", "basis_one", "suspicion")
    ]
    needed += [f"limited.{word}" for word in Limitation]
    needed += [f"service.{part}" for part in (*ServiceAction, "pending", "applied", "refused")]
    needed += [f"job.{name}" for name in JOBS if not name.startswith("tire_mended")]
    needed += [f"measure.{measure.quantity}" for measure in MEASURES.values() if not measure.position]
    needed += [f"axle.{axle}" for axle in AXLES] + [f"wheel.{wheel}" for wheel in WHEELS]
    needed += [f"problem.{s}" for s in ("open", "ran_out", "confirmed", "declined", "cancelled", "completed")]
    assert not [key for key in needed if key not in catalogue()]


def test_templates_compile() -> None:
    names = templates().list_templates()
    assert "vehicle.html" in names
    for name in names:
        templates().get_template(name)


def test_no_template_has_script_or_inline_style_or_foreign_address() -> None:
    for file in resources.files("portal").joinpath("templates").iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<script|style=|\son[a-z]+=|https?://", text), file.name


def test_every_form_that_posts_carries_its_token() -> None:
    for file in resources.files("portal").joinpath("templates").iterdir():
        for form in re.findall(r'<form[^>]*method="post".*?</form>', file.read_text(encoding="utf-8"), re.DOTALL):
            assert "hidden()" in form or "form_token" in form, file.name


@pytest.mark.parametrize(
    ("header", "language"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("de-DE,de;q=0.9,en;q=0.8", "en"), (None, "en"), ("", "en"), ("zh", "zh")],
)
def test_the_browsers_language_is_met_where_we_speak_it(header: str | None, language: str) -> None:
    assert best_language(header) == language


def test_a_text_is_filled() -> None:
    assert say("time.ago", "en", span="3 h") == "3 h ago"
    assert say("time.ago", "zh", span="3 小时") == "3 小时前"
