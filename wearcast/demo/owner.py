"""The owner of the demo: opens the link of the message in the portal and presses the button, as a browser would."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

from wearcast.demo.errors import DemoError

_LINK = re.compile(r"https?://\S+/offer/[\w.~-]+")


@dataclass
class _Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    """The forms of a page with their hidden fields."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[_Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(_Form(given.get("action", "")))
        elif tag == "input" and given.get("type") == "hidden" and self.forms:
            self.forms[-1].fields[given.get("name", "")] = given.get("value", "")


def offer_link(message: str) -> str | None:
    """The link to the offer in a message's text, if it has one."""
    found = _LINK.search(message)
    return found[0] if found else None


def confirm(link: str) -> None:
    """Open the offer and confirm the slot that is held; DemoError if the page does not let one."""
    with httpx.Client(follow_redirects=True, timeout=10.0) as browser:
        page = browser.get(link)
        forms = _Forms()
        forms.feed(page.text)
        form = next((form for form in forms.forms if form.action.split("?")[0].endswith("/confirm")), None)
        if page.status_code != httpx.codes.OK or form is None:
            raise DemoError(f"the offer's page answered {page.status_code} and has no form to confirm")
        answer = browser.post(urljoin(str(page.url), form.action), data=form.fields)
        if answer.status_code != httpx.codes.OK:
            raise DemoError(f"confirming the offer was answered with status {answer.status_code}")
