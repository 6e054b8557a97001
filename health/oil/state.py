"""What is kept of an oil filling over a restart, and how an older program's state is taken up."""

from datetime import datetime
from typing import Final, cast

import msgspec

from health.estimator import Json
from health.oil.change import ChangeWatch
from health.oil.distance import SeenDistance
from health.oil.speed import EngineSpeedWatch
from health.oil.temperature import OilTemperature
from health.oil.usage import Checkpoint, Used
from health.told import Told

_MODELLED_ERROR_1: Final = 0.20  # version 1 gave modelled consumption this standard deviation


class Suspicion(msgspec.Struct, forbid_unknown_fields=True):
    """A change nobody has confirmed: when it was noticed, and the total then."""

    time: datetime
    total: Used


class OilLifeState(msgspec.Struct, forbid_unknown_fields=True):
    """The recursion, the report it counts from, and what was noticed and waits."""

    begun: datetime | None = None  # first sample with an engine speed
    since: datetime | None = None  # oil change or measurement; else as ``begun``
    start: float | None = None  # percent at ``since``, None: never told
    reason: str = ""  # who said so and why
    last: datetime | None = None  # newest sample with an engine speed
    newest: datetime | None = None  # newest sample or report of any kind
    engine_speed: float = 0.0  # rpm at ``last``
    speed: float | None = None  # km/h, newest of this drive
    total: Used = msgspec.field(default_factory=Used)
    base: Used = msgspec.field(default_factory=Used)  # the total at ``since``
    checkpoints: list[Checkpoint] = []
    temperature: OilTemperature = msgspec.field(default_factory=OilTemperature)
    engine_speed_watch: EngineSpeedWatch = msgspec.field(default_factory=EngineSpeedWatch)
    distance: SeenDistance = msgspec.field(default_factory=SeenDistance)
    change: ChangeWatch = msgspec.field(default_factory=ChangeWatch)
    suspicion: Suspicion | None = None
    doubted: list[str] = []  # signals whose doubt was told and still holds
    told: Told = msgspec.field(default_factory=Told)
    ecu_life: float | None = None  # percent
    ecu_time: datetime | None = None


def of_version_1(fields: Json) -> Json:
    """Fields of version 2; what was used counts on, and a change that was reported stays one."""
    modelled = cast("float", fields["used_modelled"])
    return {
        "begun": fields["since"],
        "since": fields["since"],
        "start": 100.0 if fields["changed"] else None,
        "total": {
            "revolutions": fields["revolutions"],
            "read": fields["used_read"],
            "modelled": modelled,
            "modelled_more": _MODELLED_ERROR_1 * modelled,
            "modelled_less": _MODELLED_ERROR_1 * modelled,
        },
        "temperature": {"oil": fields["oil_temperature"]},
        **{name: fields[name] for name in ("reason", "last", "newest", "engine_speed", "ecu_life", "ecu_time")},
    }
