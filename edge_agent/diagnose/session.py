"""Opens an adapter on a car whose kind is not known yet: 11 bit identifiers are tried, then 29 bit ones."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass

from edge_agent.obd import obd_on_uds, service01
from edge_agent.sources.obd import DEFAULT_ECUS, ECUS_29_BIT
from edge_agent.tester.base import Connect, IsoTpAddress, Tester


@dataclass(frozen=True, kw_only=True)
class Session:
    """A tester, and what the car at it speaks. ``identifier_bits`` None: nobody answered in either form."""

    tester: Tester
    identifier_bits: int | None


@contextmanager
def diagnosing(connect: Connect, *, also: Sequence[IsoTpAddress] = ()) -> Iterator[Session]:
    """A session, closed at the end. ``also``: addresses that will be asked beside those of OBD.

    SourceError when the adapter cannot be used.
    """
    tester, bits = _open(connect, also)
    try:
        yield Session(tester=tester, identifier_bits=bits)
    finally:
        tester.close()


def _open(connect: Connect, also: Sequence[IsoTpAddress]) -> tuple[Tester, int | None]:
    for bits, ecus in ((11, DEFAULT_ECUS), (29, ECUS_29_BIT)):
        tester = connect(tuple(dict.fromkeys((*ecus, *also))), bits)
        try:
            if ecus_heard := _answering(tester):  # an ELM327 finds out by itself: what answers tells
                return tester, 29 if any(len(ecu) > 3 for ecu in ecus_heard) else 11
        except BaseException:
            tester.close()
            raise
        tester.close()
    return connect(tuple(dict.fromkeys((*DEFAULT_ECUS, *also))), 11), None


def _answering(tester: Tester) -> AbstractSet[str]:
    """Who answers standard OBD, or OBDonUDS, first."""
    for request in (service01.request(0), obd_on_uds.request(0)):
        if answers := tester.functional(request, expected=None, enough=1).answers:
            return answers.keys()
    return set()
