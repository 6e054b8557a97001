"""A parked car with its battery, for trying plans on: what weeks do to it with the dongle and without. No clock.

The model is as coarse as its question allows: charge is counted, the rest voltage follows the curve the governor also
knows, a drive leaves a surface charge that decays within hours, self-discharge doubles every 10 K.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from edge_agent.power.battery import AGM_OFFSET_V, Chemistry
from edge_agent.power.governor import Governor
from edge_agent.power.memory import Memory
from edge_agent.power.records import TALKING, Decision, Moment, PowerState, Seen
from edge_agent.power.settings import PowerSettings
from health.intervals import interpolate
from health.low_voltage_battery import REST_VOLTAGE

START: Final = datetime(2026, 1, 5, tzinfo=UTC)
_VOLTAGE_OF: Final = tuple((percent, voltage) for voltage, percent in REST_VOLTAGE)
_RESISTANCE_OHM: Final = 0.02  # battery and wiring to the socket
_SURFACE_V: Final = 0.6
_SURFACE_S: Final = 3600.0  # time constant
_CHARGE_MA: Final = 8000.0
_SAVE_S: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class ParkedBattery:
    """The 12 V battery at the beginning; ``self_discharge`` in percent of the capacity a month at 25 celsius."""

    capacity_mah: float = 60_000.0
    soc_percent: float = 85.0
    chemistry: Chemistry = "flooded"
    temperature: float = 15.0
    self_discharge: float = 4.0


@dataclass(frozen=True, kw_only=True)
class SimulatedCar:
    """Times in s, currents in mA. ``wakes_every_s``: it wakes by itself; ``wake_v``: its DC/DC converter then charges.

    ``chatter_s``: so long its ECUs stay awake once asked. ``drives``: (begin, duration). ``alternator``: V at a moment.
    """

    quiescent_ma: float = 20.0
    awake_ma: float = 2000.0
    wakes_every_s: float | None = None
    wake_s: float = 60.0
    wake_v: float | None = None
    chatter_s: float = 10.0
    bus_visible: bool = True
    drives: tuple[tuple[float, float], ...] = ()
    alternator: Callable[[float], float] = lambda _t: 14.2


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How the dongle is fitted, and what befalls it.

    ``sensor_offset`` None: nothing measures the voltage of the parked car. ``restarts``: moments (s) at which the agent
    is started again. ``jumps``: (moment, by how much the wall clock jumps). ``can_wake``: the controller wakes the
    board on bus traffic; it always does on a charging voltage.
    """

    sensor_offset: float | None = 0.0
    ignition_line: bool = False
    restarts: tuple[float, ...] = ()
    jumps: tuple[tuple[float, float], ...] = ()
    can_wake: bool = False


@dataclass(kw_only=True)
class Outcome:
    """What came of it.

    ``ours_mah``: taken from the battery by the dongle and by ECUs it woke; of that ``standby_mah`` by the controller of
    a board without power, and ``ours_below_mah``, without standby, while the rest voltage was below the threshold.
    ``states``: seconds in each state. ``noticed_after_s``: of each drive that was read, until reading began.
    """

    least_v: float = math.inf
    last_v: float = 0.0
    charge_mah: float = 0.0
    ours_mah: float = 0.0
    ours_below_mah: float = 0.0
    below_s: float = 0.0
    standby_mah: float = 0.0
    words_s: float = 0.0  # of talking to a car that stands
    wakes: int = 0
    noticed_after_s: list[float] = field(default_factory=list)
    states: dict[str, float] = field(default_factory=dict)


class Parking:
    """One run. ``settings`` None: without a dongle."""

    def __init__(
        self,
        car: SimulatedCar,
        battery: ParkedBattery,
        settings: PowerSettings | None,
        fitting: Fitting | None = None,
        memory: Memory | None = None,
    ) -> None:
        """``memory``: what the dongle knows at the beginning; None: it is plugged in then."""
        self.car, self.battery, self.settings = car, battery, settings
        self.fitting = Fitting() if fitting is None else fitting
        self.outcome = Outcome(charge_mah=battery.capacity_mah * battery.soc_percent / 100)
        self._t = 0.0
        self._surface = 0.0
        self._asked_until = -1.0
        self._read = -1  # index of the newest drive that was noticed
        self._saved: object = None
        self._saved_at = 0.0
        self._off_since: float | None = None
        self._wake_at: float | None = None
        self._boot_until = 0.0
        self._restarts = list(self.fitting.restarts)
        self._governor = None if settings is None else Governor(settings, self._moment(), memory)
        self._decision: Decision | None = None

    def run(self, seconds: float, floor_v: float) -> Outcome:
        """Let that much time pass, and say what came of it; ``floor_v``: the rest voltage that is watched."""
        outcome = self.outcome
        while self._t < seconds:
            dt = min(self._step_s(), seconds - self._t)
            ours, standby, woken = self._ours(dt)
            self._discharge(dt, ours + standby + woken)
            self._t += dt
            rest_v = self.rest_v
            outcome.least_v, outcome.last_v = min(outcome.least_v, rest_v), rest_v
            if self._charged_at() is not None:
                continue
            mah = (ours + standby + woken) * dt / 3600
            outcome.ours_mah += mah
            outcome.standby_mah += standby * dt / 3600
            if rest_v < floor_v:
                outcome.below_s += dt
                outcome.ours_below_mah += mah - standby * dt / 3600
        return outcome

    @property
    def rest_v(self) -> float:
        """The battery's own voltage, rested and unloaded, V."""
        percent = min(100.0, 100 * self.outcome.charge_mah / self.battery.capacity_mah)
        return interpolate(_VOLTAGE_OF, percent) + (AGM_OFFSET_V if self.battery.chemistry == "agm" else 0.0)

    # --- the car ---

    def _drive(self) -> int | None:
        return next((n for n, (begin, lasts) in enumerate(self.car.drives) if begin <= self._t < begin + lasts), None)

    def _self_awake(self) -> bool:
        every = self.car.wakes_every_s
        return every is not None and self._t >= every and self._t % every < self.car.wake_s

    def _awake(self) -> bool:
        return self._drive() is not None or self._self_awake() or self._t < self._asked_until

    def _charged_at(self) -> float | None:
        if self._drive() is not None:
            return self.car.alternator(self._t)
        return self.car.wake_v if self._self_awake() else None

    def _terminal_v(self) -> float:
        charged = self._charged_at()
        load_a = (self.car.quiescent_ma + (self.car.awake_ma if self._awake() else 0.0)) / 1000
        return charged if charged is not None else self.rest_v + self._surface - load_a * _RESISTANCE_OHM

    def _discharge(self, dt: float, ours_ma: float) -> None:
        outcome, battery = self.outcome, self.battery
        hours = dt / 3600
        if self._charged_at() is not None:
            # An alternator that is held down gives the car its current and the battery none.
            charge_ma = _CHARGE_MA if self._terminal_v() > self.rest_v + 0.3 else 0.0
            outcome.charge_mah = min(0.98 * battery.capacity_mah, outcome.charge_mah + charge_ma * hours)
            self._surface = _SURFACE_V if charge_ma else self._surface
        else:
            car_ma = self.car.quiescent_ma + (self.car.awake_ma if self._self_awake() else 0.0)
            outcome.charge_mah -= (car_ma + ours_ma) * hours
            self._surface *= math.exp(-dt / _SURFACE_S)
        month = 30 * 86_400.0
        leak = battery.self_discharge / 100 * battery.capacity_mah * 2 ** ((battery.temperature - 25) / 10)
        outcome.charge_mah = max(0.0, outcome.charge_mah - leak * dt / month)

    # --- the dongle ---

    def _moment(self) -> Moment:
        jumped = sum(by for at, by in self.fitting.jumps if at <= self._t)
        return Moment(seconds=self._t, wall=START + timedelta(seconds=self._t + jumped))

    def _ours(self, dt: float) -> tuple[float, float, float]:
        """Currents in mA: the board's, the controller's, that of ECUs awake only because they were asked."""
        governor, settings = self._governor, self.settings
        if settings is None:
            return 0.0, 0.0, 0.0
        if self._off_since is not None:
            self._controller()
            if self._off_since is not None:
                return 0.0, settings.off_ma, 0.0
        if self._t < self._boot_until:
            return settings.awake_ma, 0.0, 0.0
        if governor is None or (self._restarts and self._t >= self._restarts[0]):
            self._restarts = [moment for moment in self._restarts if moment > self._t]
            memory = None if self._saved is None else Memory.from_json(self._saved)
            governor = self._governor = Governor(settings, self._moment(), memory)
        decision = governor.step(self._moment(), self._seen(governor.memory.state))
        self._obey(governor, decision, dt)
        if decision.off:
            return 0.0, settings.off_ma, 0.0
        by_asking = self._t < self._asked_until and not self._self_awake() and self._drive() is None
        on_ma = settings.awake_ma if decision.talk or decision.send else settings.idle_ma
        return on_ma, 0.0, self.car.awake_ma if by_asking else 0.0

    def _obey(self, governor: Governor, decision: Decision, dt: float) -> None:
        outcome, drive = self.outcome, self._drive()
        outcome.states[decision.state] = outcome.states.get(decision.state, 0.0) + dt
        outcome.wakes += decision.measure
        if decision.talk:
            self._asked_until = max(self._asked_until, self._t + max(dt, self.car.chatter_s))
            if drive is None:
                outcome.words_s += dt
            elif drive > self._read:
                self._read = drive
                outcome.noticed_after_s.append(self._t - self.car.drives[drive][0])
        if decision.off:
            governor.was_cut()
            self._off_since = self._t
            by_plan = decision.state is PowerState.ASLEEP and decision.wake_in_s is not None
            self._wake_at = self._t + (decision.wake_in_s or 0.0) if by_plan else None
        if decision.off or decision.changed or self._t - self._saved_at >= _SAVE_S:
            self._saved, self._saved_at = governor.memory.to_json(self._moment().wall), self._t
        self._decision = decision

    def _controller(self) -> None:
        """Gives the power back; where only a person can, it stays off."""
        assert self.settings is not None
        charged = self._charged_at()
        called = (
            (charged is not None and charged >= self.settings.wake_above_v)
            or (self._wake_at is not None and self._t >= self._wake_at)
            or (self.fitting.ignition_line and self._drive() is not None)
            or (self.fitting.can_wake and self._awake() and self.car.bus_visible)
        )
        if called and self.settings.off_when == "asleep":
            self._off_since, self._governor = None, None
            self._boot_until = self._t + self.settings.boot_s

    def _seen(self, state: PowerState) -> Seen:
        offset = self.fitting.sensor_offset
        voltage = None if offset is None else self._terminal_v() + offset
        ignition = self._drive() is not None if self.fitting.ignition_line else None
        if state not in TALKING:
            frames = 50 if self._awake() and self.car.bus_visible else 0
            return Seen(voltage=voltage, ignition=ignition, frames=frames)
        answered = self._awake() or self.car.chatter_s > 0
        driving = self._drive() is not None
        return Seen(
            voltage=self._terminal_v() if answered else voltage,
            ignition=ignition,
            answered=answered,
            engine_speed=(900.0 if driving else 0.0) if answered else None,
            temperature=self.battery.temperature if answered else None,
        )

    def _step_s(self) -> float:
        """Seconds until something can happen."""
        t, car = self._t, self.car
        if self._drive() is not None:
            return 1.0 if self._read < (self._drive() or 0) else 5.0
        if self._self_awake() or (self._decision is not None and self._decision.talk) or t < self._asked_until:
            return 1.0
        moments = [t + (5.0 if 0 <= t - self._boot_until < 120.0 else 60.0)]
        if self._decision is not None and self._decision.send and self._off_since is None:
            moments.append(t + 5.0)
        if car.wakes_every_s is not None:
            moments.append((t // car.wakes_every_s + 1) * car.wakes_every_s)
        moments += [begin for begin, _ in car.drives if begin > t]
        moments += [
            moment for moment in (self._wake_at, self._boot_until, *self._restarts[:1]) if moment and moment > t
        ]
        return max(0.5, min(moments) - t)
