"""The power governor: what the car is doing, and so what the agent may do. Pure: time and what was seen are arguments.

    driving, charging --engine off--> settling --hold--> parked --sent--> asleep --voltage low--> protected
        ^                                |                 ^  |             |                        |
        +------ in use ------ checking <-+--- a sign ------+--+-------------+------ charged ---------+

In use is only what the car's own ECUs or its ignition line say: engine speed, speed, charging. While parked nobody is
asked; signs of life (:mod:`edge_agent.power.signs`) earn the car a check of some seconds, as far as the budget
(:mod:`edge_agent.power.budget`) reaches. Every number is in :mod:`edge_agent.power.settings`.
"""

from typing import Final

from edge_agent.power.budget import Budget
from edge_agent.power.memory import Memory
from edge_agent.power.records import ALONE, IN_USE, TALKING, Decision, Moment, PowerState, Seen
from edge_agent.power.settings import PowerSettings
from edge_agent.power.signs import Signs
from edge_agent.vehicle_watch import MOVING_KMH, RUNNING_RPM

_STEADY_S: Final = 10.0  # without engine speed in a reading before the engine counts as off: not every poll asks for it
_QUIET_S: Final = 60.0  # a bus silent for so long loads the battery no more
_FALLEN_ASLEEP_S: Final = 10.0
_LONGEST_STEP_S: Final = 3600.0  # a pause of the process beyond it is not charged as consumption
_FRESH_PURSE_S: Final = 60.0  # of use that earn the next parking a whole day's purse
_FRESH_BATTERY_S: Final = 900.0  # of use after which the last rest no longer tells the charge
_PROTECTED_WATCH_S: Final = 20.0
_LINE_TRUSTS: Final = 3  # times that an ignition line is believed beyond the allowance, until an engine turns
_RESTLESS_S: Final = 600.0  # so long a talking bus keeps the board on
_SIGN_TEXT: Final = {
    "level": "the 12 V system is being charged",
    "held": "the 12 V system has been charged for long",
    "rise": "the voltage rose",
    "bus": "the bus talks",
}


class Governor:
    """One car's. Made anew at each start of the agent, with the memory of the last one."""

    def __init__(self, settings: PowerSettings, at: Moment, memory: Memory | None = None) -> None:
        self.settings = settings
        self.memory = Memory() if memory is None else memory
        self._budget = Budget(settings, self.memory)
        self._signs = Signs(settings, fruitless=self.memory.fruitless, checked_at=self._checked_at(at))
        self._signs.rest(at.seconds, armed=True)  # whether the voltage was low before is not known
        self._at = at
        self._entered = self._last_use = self._last_power = self._last_charging = self._last_word = at.seconds
        self._silent_since: float | None = None
        self._asked_at: float | None = None  # of the check under way: since the car was reached
        self._quiet_since: float | None = None
        self._used_s = 0.0  # since the car was last parked
        self._hold_s = 0.0
        self._stay_until = self._leave_by = at.seconds  # of the state parked: at the least, at the most
        self._cut_after = at.seconds + settings.watch_s
        self._first_look = False  # whoever fits the dongle may turn the key after plugging it in
        self._line_armed = True  # an ignition line that never goes off is wired wrong
        self._has_engine = False  # somebody has told an engine speed
        self._woken = False  # by our check, and the bus has not been silent since
        self._measure = False
        self._changed = True
        if memory is None:
            self._enter(PowerState.SETTLING, "just plugged in", hold_s=settings.first_look_s)
            self._first_look = True
            self._budget.refill(86_400.0)
        else:
            self._resume()

    def _checked_at(self, at: Moment) -> float | None:
        checked_s = self.memory.checked_s
        return None if checked_s is None else at.seconds - checked_s - self.memory.away_s(at.wall)

    def step(self, at: Moment, seen: Seen) -> Decision:
        """Let time pass up to ``at``, in which ``seen`` was seen."""
        self._charge(at)
        self._note(seen)
        if self.memory.state is PowerState.CHECKING:
            self._check(seen)
        elif self.memory.state in TALKING:
            self._awake(seen)
        else:
            self._still(seen)
        decision = self._decision()
        self._changed = self._measure = False
        return decision

    @property
    def voltage(self) -> float | None:
        """The voltage of now, if anybody measures it."""
        return self._budget.voltage(self._now)

    def was_cut(self) -> None:
        """The board's power is about to go: the next start reckons the time until then as off."""
        self.memory.cut = True

    def _decision(self) -> Decision:
        state, settings = self.memory.state, self.settings
        off = settings.governed and self._may_cut()
        if off and self.memory.wake_in_s is not None and self.memory.wake_in_s <= 0:
            self._budget.plan()  # due, but not paid for
        return Decision(
            state=state,
            why=self.memory.why,
            talk=state in TALKING,
            send=state in TALKING or state is PowerState.PARKED or not settings.governed,
            measure=self._measure,
            off=off,
            wake_in_s=self.memory.wake_in_s if state is PowerState.ASLEEP else None,
            changed=self._changed,
        )

    def _may_cut(self) -> bool:
        """A controller that wakes the board at a bus or a voltage would give the power back at once."""
        state, now = self.memory.state, self._now
        asleep = state is PowerState.ASLEEP and self.settings.off_when == "asleep"
        if not (asleep or state is PowerState.PROTECTED) or now < self._cut_after or self._budget.charged(now):
            return False
        return not self._signs.bus_active or now - self._entered >= _RESTLESS_S

    @property
    def _now(self) -> float:
        return self._at.seconds

    # --- the states ---

    def _awake(self, seen: Seen) -> None:
        """Driving, charging, settling: the car is read."""
        state, now = self.memory.state, self._now
        use = self._use(seen)
        if use is not None:
            self._last_use = now
            if state is not PowerState.DRIVING:
                self._enter(PowerState.DRIVING, use)
        elif seen.charging:
            self._last_charging = self._last_power = now
            if state is not PowerState.CHARGING:
                self._enter(PowerState.CHARGING, "the traction battery is being charged")
        elif self._silent_s() >= self.settings.silent_s and not self._first_look:
            self._park("the car no longer answers")
        elif state is PowerState.CHARGING:
            if now - self._last_charging >= self.settings.charging_end_s:
                self._enter(PowerState.SETTLING, "charging has ended", hold_s=self.settings.sleep_hold_s)
        elif seen.ignition is False:
            self._park("the ignition line is off")
        elif state is PowerState.DRIVING:
            if now - self._last_use >= _STEADY_S:
                self._enter(PowerState.SETTLING, "engine off and standing", hold_s=self.settings.sleep_hold_s)
        elif self._settled():
            self._park(self.memory.why)

    def _settled(self) -> bool:
        # An electric car at a traffic light differs from a parked one by its 12 V alone, if anybody measures it.
        perhaps = self._budget.held_up(self._now) or (self.voltage is None and not self._has_engine)
        hold_s = max(self._hold_s, self.settings.standing_s) if perhaps else self._hold_s
        return self._now - self._entered >= hold_s or self._budget.low(self._now)

    def _check(self, seen: Seen) -> None:
        """Something stirred: the car is read for some seconds."""
        settings, now = self.settings, self._now
        use = self._use(seen)
        in_use = use is not None or bool(seen.charging)
        if seen.answered is not None and self._asked_at is None:
            self._asked_at = now
        over = (
            now - self._entered >= settings.reach_s
            if self._asked_at is None
            else now - self._asked_at >= settings.check_s
        )
        if not (in_use or over or self._silent_s() >= settings.silent_s):
            return
        self._signs.checked(now, in_use=in_use)
        self.memory.fruitless, self.memory.checked_s = self._signs.fruitless, 0.0
        if use is not None:
            self._enter(PowerState.DRIVING, use)
        elif in_use:
            self._enter(PowerState.CHARGING, "the traction battery is being charged")
        else:
            self._woken = True
            state = PowerState.PARKED if now < self._stay_until else PowerState.ASLEEP
            self._enter(state, "it stirred, but is not in use")

    def _still(self, seen: Seen) -> None:
        """Parked, asleep, protected: not a word to the car."""
        state, settings, now, budget = self.memory.state, self.settings, self._now, self._budget
        sign = self._signs.look(now, seen)
        exhausted = budget.exhausted(now)
        if self._line(seen) and self._affords_line(seen, exhausted):
            self._last_power = now
            self._enter(PowerState.DRIVING, "the ignition line is on")
        elif sign is not None and budget.may_check(
            now,
            sign,
            paused=self._signs.paused(now),
            sustained=self._signs.sustained(now),
            protected=state is PowerState.PROTECTED,
        ):
            self._ask(_SIGN_TEXT[sign])
        elif state is PowerState.PROTECTED:
            pass
        elif exhausted is not None:
            self._enter(PowerState.PROTECTED, exhausted)
        elif state is PowerState.PARKED:
            if now >= self._leave_by or (now >= self._stay_until and seen.outbox_empty):
                self._enter(PowerState.ASLEEP, "all is sent" if seen.outbox_empty else "the broker is away")
        elif self.memory.wake_in_s is not None and self.memory.wake_in_s <= 0 and budget.may_wake(now):
            self._wake()
        elif (
            settings.ask_every_s is not None
            and now - self._last_word >= settings.ask_every_s
            and self.memory.accounts.purse_mah >= settings.check_mah
        ):
            self._ask("it is time to ask")

    # --- entering them ---

    def _enter(self, state: PowerState, why: str, *, hold_s: float = 0.0) -> None:
        memory, now = self.memory, self._now
        if state in IN_USE and memory.state not in IN_USE:
            memory.parked_s = memory.blind_s = memory.charged_s = 0.0
            self._budget.used()
        if state is PowerState.ASLEEP and memory.wake_in_s is None:
            self._budget.plan()
        self._first_look = False
        if memory.state not in TALKING:
            self._silent_since = self._asked_at = None
        self._last_use = self._last_charging = self._entered = now
        self._hold_s = hold_s
        self._changed = True
        memory.state, memory.why, memory.since = state, why, self._at.wall

    def _park(self, why: str) -> None:
        """The last word to the car is spoken; what is left is sent."""
        self._signs.rest(self._now, runs_on=True)
        self._stay_until = self._now + self.settings.linger_s
        self._leave_by = self._now + self.settings.send_s
        if self._used_s >= _FRESH_BATTERY_S:
            self.memory.rested_percent = None
        self._budget.refill(86_400.0 * self._used_s / _FRESH_PURSE_S)
        self._used_s = 0.0
        self._enter(PowerState.PARKED, why)
        self._budget.plan()

    def _ask(self, why: str) -> None:
        self._enter(PowerState.CHECKING, why)
        self.memory.accounts.day(self._at.wall).checks += 1

    def _wake(self) -> None:
        self._stay_until = self._now + self.settings.planned_least_s
        self._leave_by = self._now + self.settings.planned_s
        self._enter(PowerState.PARKED, "a planned wake: measure and send")
        self._measure = True
        self.memory.accounts.day(self._at.wall).wakes += 1
        self._budget.plan()

    def _resume(self) -> None:
        """Take up what a former process did. A crash must not make a parked car be asked again and again."""
        memory, settings, wall = self.memory, self.settings, self._at.wall
        accounts, away = memory.accounts, memory.away_s(wall)
        self._stay_until = self._now + settings.check_s + settings.planned_least_s
        self._leave_by = self._now + settings.planned_s
        if memory.state in IN_USE:
            self._enter(PowerState.CHECKING, "started again while the car was in use")
            return
        memory.parked_s += away
        memory.blind_s += away
        self._budget.refill(away)
        cut, memory.cut = memory.cut, False
        wanted = memory.wake_in_s
        memory.wake_in_s = None if wanted is None else wanted - away
        if cut:
            accounts.standby(settings.off_ma * away / 3600, wall)
            accounts.spend(settings.awake_ma * settings.boot_s / 3600, wall)
        else:  # the process was away, the board most likely was not
            accounts.idle(settings.idle_ma * min(away, _LONGEST_STEP_S) / 3600, wall)
        if memory.state is PowerState.PROTECTED:
            self._cut_after = self._now + _PROTECTED_WATCH_S
            self._enter(PowerState.PROTECTED, memory.why)
        elif cut:
            # A board without a clock of its own finds that no time has passed; it was woken all the same.
            if wanted is not None and (away >= 0.9 * wanted or away < settings.boot_s):
                memory.wake_in_s = 0.0
            self._enter(PowerState.ASLEEP, "woken: by the plan, or by the car")
        elif accounts.purse_mah >= settings.check_mah or not settings.governed:
            accounts.spend(settings.check_mah, wall)  # in advance: a process that dies again has paid
            self._ask("started again beside a parked car")
        else:
            self._enter(PowerState.ASLEEP, "started again beside a parked car")

    # --- what is known ---

    def _charge(self, at: Moment) -> None:
        """Count what the time since the last look has cost."""
        seconds = max(0.0, at.seconds - self._at.seconds)
        self._at = at
        memory, settings, accounts = self.memory, self.settings, self.memory.accounts
        hours = min(seconds, _LONGEST_STEP_S) / 3600
        if memory.checked_s is not None:
            memory.checked_s += seconds
        charged = self._budget.charged(self._now)
        powered = memory.state in IN_USE and self._now - self._last_power <= _STEADY_S
        if powered or charged:
            draw_ma = settings.idle_ma if memory.state in ALONE else settings.awake_ma
            accounts.in_use(draw_ma * hours, at.wall, recharged_mah=settings.recharge_ma * hours)
        if powered:
            self._used_s += seconds
            return
        memory.parked_s += seconds
        memory.blind_s += seconds
        memory.charged_s += seconds if charged else 0.0
        if not charged:
            self._drain(hours)
        if memory.wake_in_s is not None:
            memory.wake_in_s -= seconds
        self._budget.refill(seconds)

    def _drain(self, hours: float) -> None:
        """Count what the battery of the standing car has given."""
        state, settings, accounts, wall = self.memory.state, self.settings, self.memory.accounts, self._at.wall
        if state is PowerState.CHECKING:
            accounts.spend((settings.awake_ma + settings.car_awake_ma) * hours, wall)
        elif state is PowerState.PARKED:
            accounts.spend(settings.awake_ma * hours, wall)
        else:
            accounts.idle((settings.idle_ma if state in ALONE else settings.awake_ma) * hours, wall)
        if self._woken and self._signs.bus_active:
            accounts.spend(settings.car_awake_ma * hours, wall)

    def _note(self, seen: Seen) -> None:
        """Take in what was seen, whatever the state."""
        memory, now, talking = self.memory, self._now, self.memory.state in TALKING
        self._has_engine = self._has_engine or seen.engine_speed is not None
        memory.temperature = memory.temperature if seen.temperature is None else seen.temperature
        if talking:
            self._last_word = now
        elif seen.frames or seen.voltage is not None or seen.ignition is not None:
            memory.heard = True
        if seen.answered is not None:
            self._silent_since = None if seen.answered else now if self._silent_since is None else self._silent_since
        if seen.ignition is False:
            self._line_armed = True
        noisy = talking or self._signs.bus_active or bool(seen.frames)
        self._quiet_since = None if noisy else now if self._quiet_since is None else self._quiet_since
        quiet_s = 0.0 if self._quiet_since is None else now - self._quiet_since
        self._woken = self._woken and quiet_s < _FALLEN_ASLEEP_S
        if seen.voltage is not None:
            self._budget.measured(
                now, seen.voltage, counts_as_low=memory.state not in IN_USE or not self._powered(seen)
            )
            memory.voltage_at = self._at.wall
            if not talking and seen.voltage < self.settings.charged_v:  # by its own sensor, not by an ECU
                memory.charged_s = 0.0
            if quiet_s >= _QUIET_S and memory.parked_s >= self.settings.rest_s:
                self._budget.rested(seen.voltage)

    def _powered(self, seen: Seen) -> bool:
        return self._turns(seen) or bool(seen.charging) or self._now - self._last_power <= _STEADY_S

    def _use(self, seen: Seen) -> str | None:
        if self._turns(seen):
            self._last_power, self.memory.line_trusts = self._now, 0
            moving = seen.speed is not None and seen.speed > MOVING_KMH
            return "the car moves" if moving else "the engine turns"
        if self._budget.held_up(self._now):
            self._last_power = self._now
        if not self._line(seen):
            return None
        if self._now - self._last_power < self.settings.standing_s and not self._budget.low(self._now):
            return "the ignition line is on"
        self._line_armed = False  # on for long without an engine: nobody drives
        return None

    @staticmethod
    def _turns(seen: Seen) -> bool:
        turning = seen.engine_speed is not None and seen.engine_speed > RUNNING_RPM
        return turning or (seen.speed is not None and seen.speed > MOVING_KMH)

    def _line(self, seen: Seen) -> bool:
        return bool(seen.ignition) and self._line_armed

    def _affords_line(self, seen: Seen, exhausted: str | None) -> bool:
        """A spent allowance must not keep a dongle from a drive that only this line tells of; an empty battery does."""
        if self.memory.state is PowerState.PROTECTED and self._is_low(seen):
            return False
        if exhausted is None:
            return True
        if self._budget.empty(self._now) or self.memory.line_trusts >= _LINE_TRUSTS:
            return False
        self.memory.line_trusts += 1
        return True

    def _is_low(self, seen: Seen) -> bool:
        return seen.voltage is not None and seen.voltage < self.settings.off_below_v

    def _silent_s(self) -> float:
        return 0.0 if self._silent_since is None else self._now - self._silent_since
