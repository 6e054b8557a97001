"""What the agent asks of its identity, and what an attempt to get a certificate is told and tells. Cheap to import."""

from dataclasses import dataclass
from typing import Final, Literal, Protocol


@dataclass(frozen=True, kw_only=True)
class Order:
    """What an attempt needs to know; it goes to the child process on its standard input."""

    device: str
    url: str
    ca: str | None
    folder: str
    token_file: str | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``issued``: a next pair lies there. ``refused``: not before a person did something. ``failed``: try again."""

    state: Literal["issued", "refused", "failed"]
    reason: str = ""


class Keeping(Protocol):
    """What the agent asks of its identity."""

    @property
    def present(self) -> bool:
        """Whether there is a certificate to show, so that it makes sense to connect."""
        ...

    @property
    def trouble(self) -> str:
        """Why there is no new certificate, although there should be one; empty if all is well."""
        ...

    def tick(self, *, connected: bool) -> bool:
        """Look after it; True when another pair is to be shown from now on: connect anew."""
        ...

    def close(self) -> None:
        """End an attempt under way."""
        ...


class Unmanaged:
    """A certificate that somebody else looks after, or none."""

    present: Final = True
    trouble: Final = ""

    def tick(self, *, connected: bool) -> bool:  # noqa: ARG002 - the port's
        """Nothing to do."""
        return False

    def close(self) -> None:
        """Nothing to end."""


class Attempt(Protocol):
    """An attempt under way."""

    def outcome(self) -> Outcome | None:
        """What came of it; None while it goes on."""
        ...

    def close(self) -> None:
        """Break it off."""
        ...
