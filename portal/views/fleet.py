"""The fleet: every vehicle with its health, open alerts and when it was last heard of. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from ingest.reading_store import DeviceState, VehicleState
from ingest.registry import Device, Vehicle
from portal.formats import ago, day_and_time, number
from portal.texts import Language, say
from portal.views.health import by_place
from portal.views.quantities import Tone, shown_quantities, worst
from rules.alerts import Alert
from telemetry.records import UNCERTAIN

Filter = Literal["all", "alerts", "watch", "silent"]
FILTERS: Final[tuple[Filter, ...]] = ("all", "alerts", "watch", "silent")
SILENT_AFTER: Final = timedelta(days=7)
_SEVERITY: Final = ("info", "soon", "urgent", "stop")


@dataclass(frozen=True, kw_only=True)
class HealthChip:
    """One quantity in a row: the worst wheel of it."""

    quantity: str
    name: str
    text: str
    tone: Tone
    tone_text: str


@dataclass(frozen=True, kw_only=True)
class DeviceLine:
    """A dongle of a vehicle and what it last said."""

    id: str
    state: Literal["online", "offline", "never", "disabled"]
    state_text: str
    pending_batches: int
    version: str


@dataclass(frozen=True, kw_only=True)
class FleetRow:
    """A vehicle in the list."""

    id: UUID
    label: str
    profile: str
    tone: Tone
    tone_text: str
    chips: tuple[HealthChip, ...]
    alerts: tuple[Alert, ...]  # open ones, the most pressing first
    worst_severity: str | None
    codes: tuple[str, ...]
    last_seen: datetime | None
    last_seen_text: str
    last_seen_exact: str
    silent: bool
    devices: tuple[DeviceLine, ...]


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The list as asked for, and counts over all vehicles."""

    rows: tuple[FleetRow, ...]
    vehicles: int
    with_alerts: int
    to_watch: int
    silent: int
    pending_batches: int


def chips_of(state: VehicleState, language: Language) -> tuple[HealthChip, ...]:
    """Each quantity once, by its worst wheel and the ECU's value where there is one."""
    values: dict[str, list[float]] = defaultdict(list)
    for (quantity, _), found in by_place(state.estimates.values()).items():
        values[quantity] += [found[0].value] if found[0].limited_by not in UNCERTAIN else []
    chips = []
    for quantity, shown in shown_quantities().items():
        if quantity not in values:
            continue
        value = min(values[quantity], default=None) if shown.falling else max(values[quantity], default=None)
        tone = "unknown" if value is None else shown.tone(value)
        chips.append(
            HealthChip(
                quantity=quantity,
                name=say(f"short.{quantity}", language),
                text=say("health.uncertain", language)
                if value is None
                else f"{number(value, shown.digits)} {shown.unit}",
                tone=tone,
                tone_text=say(f"tone.{tone}", language),
            )
        )
    return tuple(chips)


def device_lines(
    devices: Iterable[Device], states: Mapping[str, DeviceState], language: Language
) -> tuple[DeviceLine, ...]:
    """Dongles with what they last said."""
    lines = []
    for device in devices:
        said = states.get(device.id)
        state: Literal["online", "offline", "never", "disabled"]
        state = "disabled" if not device.enabled else "never" if said is None else said.state
        lines.append(
            DeviceLine(
                id=device.id,
                state=state,
                state_text=say(f"device.{state}", language),
                pending_batches=0 if said is None else said.pending_batches,
                version="" if said is None else said.version,
            )
        )
    return tuple(lines)


def fleet_row(
    vehicle: Vehicle,
    state: VehicleState,
    alerts: Sequence[Alert],
    devices: Sequence[Device],
    states: Mapping[str, DeviceState],
    *,
    now: datetime,
    language: Language,
    zone: ZoneInfo,
) -> FleetRow:
    """One vehicle's row; ``alerts`` are its open ones."""
    ordered = tuple(sorted(alerts, key=lambda alert: _SEVERITY.index(alert.severity), reverse=True))
    chips = chips_of(state, language)
    tones = [chip.tone for chip in chips]
    if ordered:
        tones.append("act" if ordered[0].severity in ("urgent", "stop") else "watch")
    tone = worst(tones)
    seen = state.last_sample_at
    return FleetRow(
        id=vehicle.id,
        label=vehicle.label,
        profile=vehicle.profile,
        tone=tone,
        tone_text=say(f"tone.{tone}", language),
        chips=chips,
        alerts=ordered,
        worst_severity=ordered[0].severity if ordered else None,
        codes=tuple(dict.fromkeys(entry.code for entry in state.trouble_codes)),
        last_seen=seen,
        last_seen_text=say("time.never", language) if seen is None else ago(seen, now, language),
        last_seen_exact="" if seen is None else day_and_time(seen, language, zone),
        silent=seen is None or now - seen > SILENT_AFTER,
        devices=device_lines(devices, states, language),
    )


def fleet(rows: Iterable[FleetRow], *, search: str = "", only: Filter = "all") -> Fleet:
    """What is asked for, the most pressing first; the counts are over everything."""
    everything = tuple(rows)
    words = search.casefold().split()

    def wanted(row: FleetRow) -> bool:
        text = " ".join([row.label, row.profile, *row.codes, *(device.id for device in row.devices)]).casefold()
        kept = {
            "all": True,
            "alerts": bool(row.alerts),
            "watch": row.tone in ("watch", "act"),
            "silent": row.silent,
        }[only]
        return kept and all(word in text for word in words)

    def urgency(row: FleetRow) -> tuple[int, int, str]:
        severity = -1 if row.worst_severity is None else _SEVERITY.index(row.worst_severity)
        return (-severity, {"act": 0, "watch": 1, "good": 2, "unknown": 3}[row.tone], row.label)

    return Fleet(
        rows=tuple(sorted(filter(wanted, everything), key=urgency)),
        vehicles=len(everything),
        with_alerts=sum(bool(row.alerts) for row in everything),
        to_watch=sum(row.tone in ("watch", "act") for row in everything),
        silent=sum(row.silent for row in everything),
        pending_batches=sum(device.pending_batches for row in everything for device in row.devices),
    )
