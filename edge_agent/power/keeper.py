"""The governor at work beside the agent: readings and looks in, permissions out, its memory in the outbox."""

import logging
from dataclasses import replace
from typing import Final

import msgspec

from edge_agent.clock import Clock
from edge_agent.outbox import Outbox
from edge_agent.power.controller import PowerController
from edge_agent.power.cranking_burst import StartWatch
from edge_agent.power.governor import Governor
from edge_agent.power.memory import STATE_NAME, Memory
from edge_agent.power.records import ALONE, Decision, Moment, PowerState, Seen
from edge_agent.power.settings import PowerSettings
from edge_agent.power.watch import Watch
from edge_agent.sources.base import Reading
from edge_agent.vehicle_watch import ENGINE_SPEED, MOVING_KMH, SPEED
from health import signals

log = logging.getLogger(__name__)

LOW_VOLTAGE: Final = signals.LOW_VOLTAGE_BATTERY_VOLTAGE.path
_VOLTAGES: Final = (LOW_VOLTAGE, signals.CONTROL_MODULE_VOLTAGE.path)
_CHARGING_A: Final = 1.0  # into the traction battery of a standing car: more than a meter's offset
_SAVE_S: Final = 600.0  # the ledger's page may be that old after a power cut; a state never is
_CUT_AGAIN_S: Final = 600.0


class PowerKeeper:
    """Power saved by the plan. One thread, the agent's; takes up its memory where a former run left it."""

    def __init__(
        self,
        *,
        settings: PowerSettings,
        watch: Watch,
        controller: PowerController,
        outbox: Outbox,
        clock: Clock,
        cranking: StartWatch | None = None,
    ) -> None:
        self._watch = watch
        self._controller = controller
        self._outbox = outbox
        self._clock = clock
        self._cranking = cranking
        self._governor = Governor(settings, self._moment(), self._remembered())
        self._saved_at = float("-inf")
        self._cut_at = float("-inf")
        self._decision = self._step(self._watch.glance())

    @property
    def talks(self) -> bool:
        """Whether the car may be asked."""
        return self._decision.talk

    @property
    def sends(self) -> bool:
        """Whether the agent is to be connected to the broker."""
        return self._decision.send

    @property
    def status(self) -> str | None:
        """State and reason, while nothing is sent."""
        decision = self._decision
        return f"{decision.state}: {decision.why}" if decision.state in ALONE else None

    def heard(self, reading: Reading | None) -> None:
        """What a poll tells of the car's use."""
        own = self._watch.glance()
        if reading is None:
            self._step(own)
            return
        values = reading.values
        moving = values.get(SPEED, 0.0) > MOVING_KMH  # with the engine off: a traction motor will start it, if any
        self._arm(values[SPEED] if moving else values.get(ENGINE_SPEED))
        gave = bool(values) or reading.vin is not None or reading.trouble_codes is not None
        voltage = next((values[path] for path in _VOLTAGES if path in values), own.voltage)
        self._step(
            Seen(
                voltage=voltage,
                ignition=own.ignition,
                engine_speed=values.get(ENGINE_SPEED),
                speed=values.get(SPEED),
                charging=_charging(reading),
                answered=True if gave else False if reading.faults else None,
                temperature=values.get(signals.AMBIENT_TEMPERATURE.path),
            )
        )

    def rest(self, seconds: float) -> Reading | None:
        """Watch the parked car; the voltage at a planned wake is a reading: the battery's health is told by it."""
        self._arm(0.0)
        seen = self._watch.look(seconds)
        waits = self._decision.state is PowerState.PARKED and not self._outbox_empty()
        decision = self._step(replace(seen, outbox_empty=not waits))
        if decision.talk:
            self._watch.close()
        voltage = self._governor.voltage
        return Reading(values={LOW_VOLTAGE: voltage}) if decision.measure and voltage is not None else None

    def burst(self) -> tuple[Reading, ...]:
        """Voltages caught while the engine was cranked."""
        caught = () if self._cranking is None else self._cranking.take()
        return tuple(Reading(values={LOW_VOLTAGE: volts}, age_s=age_s) for age_s, volts in caught)

    def _arm(self, engine_speed: float | None) -> None:
        """Watch for a start while the engine stands, and a protected battery is left alone."""
        if self._cranking is None or engine_speed is None:
            return
        if engine_speed > 0 or self._decision.state is PowerState.PROTECTED:
            self._cranking.disarm()
        else:
            self._cranking.arm()

    def close(self) -> None:
        """Keep the ledger; let go of the bus."""
        self._watch.close()
        if self._cranking is not None:
            self._cranking.close()
        self._save(durable=True)

    def _step(self, seen: Seen) -> Decision:
        moment = self._moment()
        decision = self._decision = self._governor.step(moment, seen)
        if decision.changed:
            log.info("power: %s (%s)", decision.state, decision.why)
        if decision.off and moment.seconds - self._cut_at >= _CUT_AGAIN_S:
            self._cut_at = moment.seconds
            self._cut(decision)
        elif decision.changed or moment.seconds - self._saved_at >= _SAVE_S:
            self._save(durable=decision.changed)
        return decision

    def _cut(self, decision: Decision) -> None:
        """Kept before the command runs: it may take the power at once."""
        self._governor.was_cut()
        self._save(durable=True)
        self._clock.remember()
        if not self._controller.cut(decision.wake_in_s):
            self._governor.memory.cut = False
            self._save(durable=True)

    def _save(self, *, durable: bool) -> None:
        moment = self._moment()
        self._saved_at = moment.seconds
        with self._outbox.transaction(durable=durable):
            self._outbox.put_state(STATE_NAME, self._governor.memory.to_json(moment.wall))

    def _remembered(self) -> Memory | None:
        kept = self._outbox.state(STATE_NAME)
        if kept is None:
            return None
        try:
            return Memory.from_json(kept)
        except msgspec.ValidationError:
            log.exception("what was known of the car's power cannot be taken up; it starts anew")
            return None

    def _moment(self) -> Moment:
        return Moment(seconds=self._clock.monotonic_ms() / 1000, wall=self._clock.now())

    def _outbox_empty(self) -> bool:
        return self._outbox.pending_batches() == 0 and not self._outbox.pending_samples()


def _charging(reading: Reading) -> bool | None:
    """Whether the traction battery is being charged from outside; None where nothing was said of it."""
    values = reading.values
    if values.get(SPEED, 0.0) > MOVING_KMH:
        return False  # braking charges too
    said = values.get(signals.TRACTION_BATTERY_CHARGING.path)
    if said is not None:
        return said > 0
    current = values.get(signals.TRACTION_BATTERY_CURRENT.path)
    return None if current is None else current >= _CHARGING_A
