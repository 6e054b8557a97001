"""Whether a wipe is meant for the service this dongle is in now. Pure.

Who may send one is the broker's to say: the backend alone. This is against one that is sent a second time, by whatever
way, to a dongle that has been given to somebody else since.
"""

from datetime import datetime
from typing import Literal

from edge_agent.wipe.record import WipeRecord
from telemetry.wipe import Wipe, WipeRefusal

Verdict = Literal["obey", "again"] | WipeRefusal


def judge(wipe: Wipe, record: WipeRecord, *, generation: int | None, now: datetime) -> Verdict:
    """What to do with a wipe; ``again``: it was done before, and is answered once more.

    ``generation``: of this dongle's certificate, 0 without one, None where the certificate cannot be read.
    """
    if wipe.id in record.known:
        return "again"
    if wipe.generation != generation:
        return "other-generation"
    if now >= wipe.expires:
        return "expired"
    if record.since is not None and wipe.issued < record.since:
        return "before-this-service"
    return "obey"
