"""The files of an identity: key and certificate in one file, so that one rename exchanges both.

``identity.pem`` is what is shown to the broker. A renewed pair arrives as ``next.pem``; taking it over keeps the pair
before it as ``former.pem`` until a connection with the new one has come about. At every moment, also after a power cut
at any step, ``identity.pem`` is one whole pair. ``request.key`` is a key whose certificate was asked for and may have
been lost on the way: the same key is certified again.

The first lines of a pair say when it is to be renewed and when it ends; OpenSSL skips them.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.errors import EnrolmentError

_RENEW: Final = b"Renew-At: "  # seconds since 1970
_ENDS: Final = b"Ends-At: "


@dataclass(frozen=True, kw_only=True)
class Dates:
    """Of a certificate, in seconds since 1970: when to renew it, and when it ends."""

    renew_at: float
    ends_at: float


class Identity:
    """The identity in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pair = folder / "identity.pem"
        self.next = folder / "next.pem"
        self.former = folder / "former.pem"
        self.key = folder / "request.key"
        self.anchors = folder / "anchors.pem"  # roots the service has named beside the flashed one
        self._spent = folder / "token.spent"

    @property
    def present(self) -> bool:
        """Whether there is a pair to show."""
        return self.pair.exists()

    @property
    def proven(self) -> bool:
        """Whether a connection with the present pair has come about."""
        return not self.former.exists()

    def dates(self) -> Dates | None:
        """Of the present pair; None where it does not say: it was made elsewhere."""
        found: dict[bytes, float] = {}
        try:
            with self.pair.open("rb") as file:
                for name in (_RENEW, _ENDS):
                    line = file.readline(100)
                    if line.startswith(name):
                        found[name] = float(line.removeprefix(name))
        except (OSError, ValueError):
            return None
        return Dates(renew_at=found[_RENEW], ends_at=found[_ENDS]) if len(found) == 2 else None

    def adopt(self, certificate: Path, key: Path) -> None:
        """Begin with a pair that was flashed."""
        try:
            self._write(self.pair, key.read_bytes() + b"\n" + certificate.read_bytes())
        except OSError as error:
            raise EnrolmentError(f"{certificate}, {key}: cannot be taken over: {error.strerror}") from error

    def keep_next(self, chain_pem: bytes, dates: Dates) -> None:
        """Store a certificate of ``request.key``, the device's own first."""
        head = b"%s%d\n%s%d\n" % (_RENEW, dates.renew_at, _ENDS, dates.ends_at)
        self._write(self.next, head + self.key.read_bytes() + chain_pem)

    def take_over(self) -> bool:
        """Show the next pair from now on; False where there is none."""
        if not self.next.exists():
            return False
        if self.pair.exists():
            self._write(self.former, self.pair.read_bytes())
        self.next.replace(self.pair)
        self._sync()
        return True

    def prove(self) -> None:
        """The present pair works: the other one is of no more use."""
        self.former.unlink(missing_ok=True)

    def swap(self) -> None:
        """Show the former pair again, and keep the present one in its place: either may be the one that works."""
        self._write(self.next, self.former.read_bytes())
        self.take_over()

    def request_key(self, make: Callable[[], bytes]) -> Path:
        """The key to certify next; a new one unless one is waiting."""
        if not self.key.exists():
            self._write(self.key, make())
        return self.key

    def requested(self) -> None:
        """The waiting key is certified and stored."""
        self.key.unlink(missing_ok=True)

    def keep_anchors(self, pem: bytes) -> None:
        """Trust these roots too from now on."""
        self._write(self.anchors, pem)

    @contextmanager
    def beside(self, name: str, content: bytes) -> Iterator[Path]:
        """A file of the folder for the time of a block."""
        file = self.folder / name
        self._write(file, content)
        try:
            yield file
        finally:
            file.unlink()

    def spend(self, token: str) -> None:
        """Remember that this token was used: its digest."""
        self._write(self._spent, _digest(token))

    def has_spent(self, token: str) -> bool:
        """Whether this token was used."""
        try:
            return self._spent.read_bytes() == _digest(token)
        except OSError:
            return False

    def _write(self, path: Path, content: bytes) -> None:
        """Whole or not at all, and for us alone, also after a power cut."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_name(path.name + ".unfinished")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        self._sync()

    def _sync(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).hexdigest().encode()
