"""Whether the database answers: known from whoever asks it again and again, so that no page has to find out."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ingest.database import Connection
from ingest.errors import DatabaseError
from ingest.pulse import PULSE

log = logging.getLogger("wearcast.portal")

_PATIENCE_S: Final = 2.0  # with a question that is so small that any database answers it within milliseconds
# A host that is gone refuses nothing. So the one who asks begins anew after that time, and soon hears of its return.
_SILENCE_S: Final = 5
_GIVE_UP_S: Final = float(_SILENCE_S)  # where its host still takes what is sent, and no answer comes


def probing_url(url: str) -> str:
    """The same database, for the one who asks whether it is there; what the URL itself names counts."""
    wanted = {"connect_timeout": _SILENCE_S, "tcp_user_timeout": _SILENCE_S * 1000}
    given = conninfo_to_dict(url)
    return make_conninfo(url, **{name: value for name, value in wanted.items() if name not in given})


class Reach:
    """What was heard of the database; any thread may ask. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at: float | None = None  # a question that is not answered yet
        self._refused = False

    def is_away(self) -> bool:
        """Whether the last question came to nothing, or the present one is without an answer for two seconds."""
        return self._refused or self.silence_s() > _PATIENCE_S

    def silence_s(self) -> float:
        """For how long the present question has been without an answer, seconds; 0 where there is none."""
        asked_at = self._asked_at
        return 0.0 if asked_at is None else self._clock() - asked_at

    @contextmanager
    def asking(self) -> Iterator[None]:
        """A question, for the time of the block; what it raises says that the database is away."""
        self._asked_at = self._clock()
        try:
            yield
        except (DatabaseError, psycopg.Error) as error:
            self._note_refusal(error)
            raise
        except BaseException:  # nobody may ask from now on: pages find out for themselves
            self._refused = False
            raise
        else:
            self._note_answer()
        finally:
            self._asked_at = None

    def _note_refusal(self, error: Exception) -> None:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if not self._refused:
            log.error("the database is away, pages say so until it is back: %s", reason)
        self._refused = True
        PULSE.trouble("database", reason)

    def _note_answer(self) -> None:
        if self._refused:
            log.info("the database answers again")
            PULSE.well("database")
        self._refused = False


class Line:
    """The connection on which is asked, so that another thread can give up a question that nobody answers.

    A proxy may hold a connection whose server is gone, and the server behind a new one is well. Nothing but the time
    tells it from a database that stands still.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._twin: socket.socket | None = None  # of its own: no other connection can have its number meanwhile

    def hold(self, connection: Connection) -> None:
        """On this one is asked from now on."""
        self.close()
        with suppress(OSError):  # where too many files are open it is asked all the same
            self._twin = socket.socket(fileno=os.dup(connection.fileno()))

    def end_silence(self) -> None:
        """Let a question fail that has been without an answer for five seconds."""
        twin = self._twin
        if twin is not None and self._reach.silence_s() > _GIVE_UP_S:
            with suppress(OSError):  # it has ended by itself
                twin.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hold none any more."""
        twin, self._twin = self._twin, None
        if twin is not None:
            twin.close()
