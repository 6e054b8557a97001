"""A car that is used now: started, driven on and on, with faults and accelerated wear. No clock, no bus."""

from collections.abc import Iterable
from datetime import datetime

from edge_agent.virtual_car.config import Activity, CarCondition, Fault, VirtualCarConfig, WearAcceleration
from edge_agent.virtual_car.disturb import Disturbances
from edge_agent.virtual_car.drive import Trip, endless_drive
from edge_agent.virtual_car.model import CarModel
from edge_agent.virtual_car.signals import signals

_STARTED_AFTER_S = 1.0  # key on until the starter turns
_CRANKING_S = 0.9
_SHORT_TRIP_S = 16.0  # from key on to key on, of which the last part is at rest
_SHORT_TRIP_REST_S = 4.0
_LONGEST_STEP_S = 1.0


class LiveCar:
    """Moves a model on by elapsed time."""

    def __init__(self, config: VirtualCarConfig, *, now: datetime, condition: CarCondition | None = None) -> None:
        self.config = config
        self.model = CarModel(config, now=now, condition=condition)
        self.acceleration: WearAcceleration = config.acceleration
        self.activity: Activity = config.activity
        self.disturbances = Disturbances()  # of the answers of its ECUs
        self._elapsed_s = 0.0
        self._schedule = sorted(config.schedule, key=lambda item: item.at_s)
        self._trips = endless_drive(config.seed)
        self._trip: Trip = next(self._trips)
        self._trip_s = 0.0
        self._since_key_on_s = 0.0

    @property
    def awake(self) -> bool:
        """Whether its ECUs answer: those of a parked car sleep."""
        return self.activity != "parked"

    def switch_on(self, faults: Iterable[Fault]) -> None:
        """Let faults happen now."""
        for fault in faults:
            self.model.switch_on(fault)

    def advance(self, elapsed_s: float) -> None:
        """Let that much time pass."""
        while elapsed_s > 0:
            step_s = min(elapsed_s, _LONGEST_STEP_S)
            elapsed_s -= step_s
            self._step(step_s)

    def _step(self, dt_s: float) -> None:
        self._elapsed_s += dt_s
        while self._schedule and self._schedule[0].at_s <= self._elapsed_s:
            self.model.switch_on(self._schedule.pop(0).fault)
        self.model.accelerate(self.acceleration, dt_s)
        self._since_key_on_s += dt_s
        short = self.activity == "short_trips"
        if short and self._since_key_on_s > _SHORT_TRIP_S:
            self._since_key_on_s = 0.0
            self._trip, self._trip_s = next(self._trips), 0.0
        stopped = short and self._since_key_on_s > _SHORT_TRIP_S - _SHORT_TRIP_REST_S
        off = self.activity in {"parked", "ignition_on"}
        if off or stopped or self._since_key_on_s < _STARTED_AFTER_S:
            self.model.rest(dt_s)
        elif self._since_key_on_s < _STARTED_AFTER_S + _CRANKING_S or self.model.phase == "parked":
            self.model.crank(dt_s)
        else:
            self._drive(dt_s)

    def _drive(self, dt_s: float) -> None:
        self._trip_s += dt_s
        if self._trip_s > self._trip.duration_s:
            self._trip, self._trip_s = next(self._trips), 0.0
            self.model.begin_trip()
        self.model.run(dt_s, self._trip.at(self._trip_s))
        if self.model.dtc.pending and self.model.dtc.frozen is None:
            self.model.dtc.freeze(signals(self.model))
