"""YAML files become the records of :mod:`firmware_profiles.profile`; every complaint names file, path and remedy."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

from firmware_profiles.errors import FamilyError, ProfileError
from firmware_profiles.keys import HARDWARE, VEHICLE
from firmware_profiles.profile import (
    CanController,
    CanParameters,
    DidDefinition,
    Example,
    HardwareProfile,
    Interface,
    Match,
    PollItem,
    PowerPlan,
    ProfileList,
    SignalDefinition,
    TroubleCodePlan,
    UdsTroubleCodes,
    VehicleProfile,
)
from firmware_profiles.reading import read_yaml
from firmware_profiles.shape import Kind, ListOf, Place, Record, nearest
from firmware_profiles.vin_pattern import compile_pattern
from telemetry.catalogue import catalogue

_LOCAL_IDENTIFIER = 0x21  # ISO 14230-3, ReadDataByLocalIdentifier: its identifiers have one byte

Document = dict[str, object]
Checked = Mapping[str, Any]  # what a Record returned: its kinds fixed the types below each key


def load_vehicle_profile(name_or_path: str | Path) -> VehicleProfile:
    """The vehicle profile of that name (shipped), or of that file; ProfileError says what is wrong and where."""
    checked, place, files = _load(name_or_path, "vehicles", VEHICLE)
    return _vehicle(checked, place, files)


def load_hardware_profile(name_or_path: str | Path) -> HardwareProfile:
    """The hardware profile of that name (shipped), or of that file; ProfileError says what is wrong and where."""
    checked, place, files = _load(name_or_path, "hardware", HARDWARE)
    return _hardware(checked, place, files)


def list_profiles() -> ProfileList:
    """All profiles that ship with this version, by name; families are left out."""
    return ProfileList(
        vehicles=tuple(load_vehicle_profile(path) for path in _shipped("vehicles")),
        hardware=tuple(load_hardware_profile(path) for path in _shipped("hardware")),
    )


def shipped_folder(folder: str) -> Path:
    """Folder of the profiles that ship: ``vehicles`` or ``hardware``."""
    return Path(str(resources.files("firmware_profiles").joinpath(folder)))


def _shipped(folder: str) -> Iterator[Path]:
    for path in sorted(shipped_folder(folder).glob("*.yaml")):
        if read_yaml(path).get("family") is not True:
            yield path


def _load(name_or_path: str | Path, folder: str, shape: Record) -> tuple[Checked, Place, tuple[Path, ...]]:
    path = _find(name_or_path, folder)
    documents = list(_chain(path, folder))
    files = tuple(file for file, _ in documents)
    place = Place(file=path.name)
    if documents[0][1].get("family") is True:
        raise FamilyError(str(place.error("this is a family, a base for others; choose a profile that extends it")))
    merged: Document = {}
    for _, document in reversed(documents):
        merged = cast("Document", _merge(merged, document, shape))
    return shape.check(merged, place, partial=False), place, files


def _find(name_or_path: str | Path, folder: str) -> Path:
    shipped = shipped_folder(folder)
    if isinstance(name_or_path, Path) or name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        return Path(name_or_path)
    path = shipped / f"{name_or_path}.yaml"
    if not path.is_file():
        names = [file.stem for file in _shipped(folder)]
        kind = "vehicle" if folder == "vehicles" else "hardware"
        raise ProfileError(
            f"no {kind} profile {name_or_path!r}{nearest(name_or_path, names)} (there are: {', '.join(names)}; "
            "or give the path of a YAML file)"
        )
    return path


def _chain(path: Path, folder: str) -> Iterator[tuple[Path, Document]]:
    """The file and the files it extends, nearest first, each checked by itself."""
    seen: set[str] = set()
    while True:
        document = _document(path, path.stat().st_mtime_ns if path.is_file() else 0, folder)
        place = Place(file=path.name)
        yield path, document
        if "extends" not in document:
            return
        seen.add(path.stem)
        base = str(document["extends"])
        if base in seen:
            raise place.key("extends").error(f"{base!r} extends this file in turn; break the circle")
        candidates = (path.parent / f"{base}.yaml", shipped_folder(folder) / f"{base}.yaml")
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        if found is None:
            names = {file.stem for candidate in candidates for file in candidate.parent.glob("*.yaml")}
            raise place.key("extends").error(f"there is no profile {base!r}{nearest(base, sorted(names))}")
        path = found


@lru_cache(maxsize=16)
def _document(path: Path, _modified_ns: int, folder: str) -> Document:
    """One file, checked by itself. The last ones are kept: whoever loads all profiles meets few families often."""
    document = read_yaml(path)
    place = Place(file=path.name)
    shape = VEHICLE if folder == "vehicles" else HARDWARE
    shape.check(document, place, partial="extends" in document or document.get("family") is True)
    _require_distinct(document, shape, place)
    if document["name"] != path.stem:
        raise place.key("name").error(f"the file is called {path.name}, so the name is {path.stem!r}")
    return document


def _merge(base: object, change: object, kind: Kind | None) -> object:
    """The change over the base: mappings key by key, named items by their name, anything else replaced."""
    if isinstance(base, dict) and isinstance(change, dict):
        keys = kind.keys if isinstance(kind, Record) else {}
        inherited = {name: item for name, item in base.items() if name != "family"}
        changed = {
            name: _merge(base.get(name), item, keys[name].kind if name in keys else None)
            for name, item in change.items()
        }
        return inherited | changed
    if isinstance(base, list) and isinstance(change, list) and isinstance(kind, ListOf) and kind.by:
        named = {item[kind.by]: item for item in base}
        for item in change:
            named[item[kind.by]] = _merge(named.get(item[kind.by]), item, kind.kind)
        return list(named.values())
    return change


def _require_distinct(document: object, kind: Kind, place: Place) -> None:
    """No item of a list stands twice under one name: the second would silently win."""
    if isinstance(kind, Record) and isinstance(document, dict):
        for name, item in document.items():
            _require_distinct(item, kind.keys[name].kind, place.key(name))
    elif isinstance(kind, ListOf) and isinstance(document, list):
        seen: set[str] = set()
        for index, item in enumerate(document):
            label = kind.label(item, index)
            if label in seen:
                raise place.item(label).error(f"{kind.by} {label!r} stands twice")
            seen.add(label)
            _require_distinct(item, kind.kind, place.item(label))


def _vehicle(checked: Checked, place: Place, files: tuple[Path, ...]) -> VehicleProfile:
    can = checked["can"]
    if can["identifier_bits"] not in {11, 29}:
        raise place.key("can").key("identifier_bits").error(f"expected 11 or 29, found {can['identifier_bits']}")
    dids = tuple(_did(did, place.key("dids").item(did["name"])) for did in checked.get("dids", ()))
    _require_one_meaning(dids, place.key("dids"))
    plan = checked.get("trouble_codes")
    return VehicleProfile(
        name=checked["name"],
        title=checked["title"],
        kind=checked["kind"],
        category=checked.get("category", "M1"),
        can=CanParameters(bit_rate=can["bit_rate"], identifier_bits=can["identifier_bits"]),
        poll=tuple(
            PollItem(service=int(item.get("service", "01"), 16), pid=item["pid"], period_s=item["period"])
            for item in checked.get("poll", ())
        ),
        dids=dids,
        trouble_codes=None if plan is None else _trouble_codes(plan),
        health=checked.get("health", {}),
        match=_match(checked["match"], place.key("match")) if "match" in checked else None,
        simulated=checked.get("simulated", False),
        notes=checked.get("notes", ""),
        files=files,
    )


def _match(match: Checked, place: Place) -> Match:
    for index, pattern in enumerate(match.get("vin", ())):
        try:
            compile_pattern(pattern)
        except ValueError as error:
            raise place.key("vin").item(str(index)).error(str(error)) from None
    years = match.get("years", {})
    first, last = years.get("first"), years.get("last")
    if first is not None and last is not None and last < first:
        raise place.key("years").error(f"the last model year, {last}, is before the first, {first}")
    return Match(vin=match.get("vin", ()), first_year=first, last_year=last, ecus=match.get("ecus", ()))


def _trouble_codes(plan: Checked) -> TroubleCodePlan:
    return TroubleCodePlan(
        services=tuple(int(service, 16) for service in plan.get("services", ())),
        uds_19=tuple(UdsTroubleCodes(**item) for item in plan.get("uds_19", ())),
        period_s=plan["period"],
    )


def _did(did: Checked, place: Place) -> DidDefinition:
    if (did["request_id"] > 0x7FF) != (did["response_id"] > 0x7FF):
        raise place.key("response_id").error("request and answer must both have 3 digits (11 bit) or both 8 (29 bit)")
    if max(did["request_id"], did["response_id"]) > 0x1FFF_FFFF:
        raise place.key("request_id").error("a CAN identifier has at most 29 bits: 1FFFFFFF is the highest")
    service = int(did.get("service", "22"), 16)
    if len(did["did"]) != (2 if service == _LOCAL_IDENTIFIER else 4):
        raise place.key("did").error(
            f"{did['did']!r} has {len(did['did'])} digits; service 22 takes 4 ('0101'), service 21 takes 2 ('01')"
        )
    signals = tuple(_signal(item, place.key("signals").item(item["signal"])) for item in did["signals"])
    length = did.get("length")
    if length is not None and (needed := max((each.minimum_length for each in signals), default=0)) > length:
        raise place.key("length").error(f"{length} bytes, but the signals end in byte {needed}")
    return DidDefinition(
        name=did["name"],
        request_id=did["request_id"],
        response_id=did["response_id"],
        service=service,
        did=int(did["did"], 16),
        period_s=did["period"],
        source=did["source"],
        note=did.get("note", ""),
        length=length,
        signals=signals,
    )


def _signal(item: Checked, place: Place) -> SignalDefinition:
    if item["scale"] == 0:
        raise place.key("scale").error("a scale of 0 gives no value")
    signal = SignalDefinition(
        path=catalogue().by_column(item["signal"]).path,
        column=item["signal"],
        bit_offset=item["byte_offset"] * 8 + item.get("bit_in_byte", 0),
        bit_length=item["bit_length"],
        scale=item["scale"],
        offset=item.get("offset", Fraction(0)),
        signed=item.get("signed", False),
        absent=item.get("absent", ()),
        example=Example(**item["example"]),
        further_examples=tuple(Example(**example) for example in item.get("examples", ())),
    )
    for index, example in enumerate(signal.examples):
        if len(example.payload) < signal.minimum_length:
            here = place.key("example") if index == 0 else place.key("examples").item(str(index - 1))
            raise here.key("payload").error(
                f"{len(example.payload)} bytes, but the signal ends in byte {signal.minimum_length}"
            )
    return signal


def _require_one_meaning(dids: tuple[DidDefinition, ...], place: Place) -> None:
    """Each signal comes from one place, each place means one signal, each DID of an ECU is asked for once."""
    sources: dict[str, str] = {}
    requests: dict[tuple[int, int, int], str] = {}
    for did in dids:
        request = (did.request_id, did.service, did.did)
        if request in requests:
            digits = 2 if did.service == _LOCAL_IDENTIFIER else 4
            raise place.item(did.name).error(
                f"DID {did.did:0{digits}X} of {did.request_id:X} is already read by {requests[request]!r}"
            )
        requests[request] = did.name
        first_bits: dict[int, str] = {}
        for signal in did.signals:
            here = place.item(did.name).key("signals").item(signal.column)
            if signal.column in sources:
                raise here.error(f"this signal is already read by {sources[signal.column]!r}")
            if signal.bit_offset in first_bits:
                raise here.error(f"starts at the same bit as {first_bits[signal.bit_offset]!r}")
            sources[signal.column] = did.name
            first_bits[signal.bit_offset] = signal.column


def _hardware(checked: Checked, place: Place, files: tuple[Path, ...]) -> HardwareProfile:
    power, chip, interface = checked["power"], checked.get("controller"), checked["interface"]
    if power["sleep_below_v"] >= power["wake_above_v"]:
        raise place.key("power").error(
            "sleep_below_v must be below wake_above_v, or the dongle wakes and sleeps in turn"
        )
    if power.get("off_when") == "asleep" and not power.get("off_command"):
        raise place.key("power").error("off_when is asleep, but no off_command says how the power is cut")
    if interface["kind"] == "slcan" and "serial_baud" not in interface:
        raise place.key("interface").error("a serial adapter (slcan) needs serial_baud")
    lines = checked.get("config_txt", ())
    if chip is not None:
        overlay = f"oscillator={chip['oscillator_hz']},interrupt={chip['interrupt_gpio']}"
        if not any(overlay in line for line in lines):
            raise place.key("config_txt").error(f"no dtoverlay line says {overlay}, as the controller does")
    return HardwareProfile(
        name=checked["name"],
        title=checked["title"],
        board=checked["board"],
        arch=checked["arch"],
        memory_mb=checked["memory_mb"],
        interface=Interface(**interface),
        controller=None if chip is None else CanController(**chip),
        power=PowerPlan(
            controller=power["controller"],
            sleep_below_v=power["sleep_below_v"],
            sleep_hold_s=power["sleep_hold"],
            wake_above_v=power["wake_above_v"],
            wake_hold_s=power["wake_hold"],
            off_command=tuple(power.get("off_command", ())),
            **{key: power[key] for key in ("off_when", "awake_ma", "idle_ma", "off_ma") if key in power},
        ),
        gnss=checked.get("gnss", "none"),
        rtc=checked.get("rtc", "none"),
        config_txt=lines,
        device_allow=checked.get("device_allow", ()),
        groups=checked.get("groups", ()),
        notes=checked.get("notes", ""),
        files=files,
    )
