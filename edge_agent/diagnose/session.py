"""Opens an adapter on a car whose kind is not known yet: 11 bit identifiers are tried, then 29 bit ones."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edge_agent.obd.dialect import OBD, OBD_ON_UDS, Dialect
from edge_agent.sources.obd import DEFAULT_ECUS, ECUS_29_BIT
from edge_agent.tester.base import Connect, IsoTpAddress, Tester


@dataclass(frozen=True, kw_only=True)
class Session:
    """A tester, and what the car at it speaks. ``identifier_bits`` None: nobody answered, in either form or dialect."""

    tester: Tester
    identifier_bits: int | None
    dialect: Dialect = OBD


@contextmanager
def diagnosing(connect: Connect, *, also: Sequence[IsoTpAddress] = ()) -> Iterator[Session]:
    """A session, closed at the end. ``also``: addresses that will be asked beside those of OBD.

    SourceError when the adapter cannot be used.
    """
    tester, bits, dialect = _open(connect, also)
    try:
        yield Session(tester=tester, identifier_bits=bits, dialect=dialect)
    finally:
        tester.close()


def _open(connect: Connect, also: Sequence[IsoTpAddress]) -> tuple[Tester, int | None, Dialect]:
    for bits, ecus in ((11, DEFAULT_ECUS), (29, ECUS_29_BIT)):
        tester = connect(tuple(dict.fromkeys((*ecus, *also))), bits)
        try:
            for dialect in (OBD, OBD_ON_UDS):
                if heard := tester.functional(dialect.request(0), expected=None, enough=1).answers:
                    # an ELM327 finds out by itself: what answers tells
                    return tester, 29 if any(len(ecu) > 3 for ecu in heard) else 11, dialect
        except BaseException:
            tester.close()
            raise
        tester.close()
    return connect(tuple(dict.fromkeys((*DEFAULT_ECUS, *also))), 11), None, OBD
