"""``wearcast agent scan|dtc|vin|raw|clear``: ask a car once, with nothing but an adapter."""

import getpass
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wearcast.car_tables import Language, code_row, number, unit_of
from wearcast.commands.adapter import NOBODY, AdapterOption, ConfigOption, choose
from wearcast.commands.agent import DIAGNOSE, app
from wearcast.commands.common import JsonOption, LanguageOption
from wearcast.output import print_json, print_rows

if TYPE_CHECKING:
    from edge_agent.diagnose.clear import Cleared
    from edge_agent.diagnose.codes import CodesReport
    from edge_agent.obd.dtc_records import DtcRecord


@app.command(rich_help_panel=DIAGNOSE)
def scan(adapter: AdapterOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Find the ECUs that answer, and what each has.

    Example: wearcast agent scan --adapter elm327:/dev/ttyUSB0
    """
    from edge_agent.diagnose.scan import scan as look
    from edge_agent.diagnose.session import diagnosing

    with diagnosing(choose(adapter, config).connect) as session:
        found = look(session.tester, session.dialect)
    if as_json:
        print_json(found)
    else:
        print_rows(
            [
                {
                    "ecu": ecu.ecu,
                    "name": ecu.name,
                    "services": " ".join(f"{service:02X}" for service in sorted(ecu.services)),
                    "parameters": len(ecu.pids),
                    "calibrations": ", ".join(ecu.calibrations),
                    "verification": ", ".join(ecu.verification_numbers),
                }
                for ecu in found.ecus
            ],
            as_json=False,
            title=f"VIN {found.vin or 'not read'}, {found.speaks}",
            empty=NOBODY,
        )
        _print_faults(found.faults)
    if not found.ecus:
        raise typer.Exit(1)


@app.command(rich_help_panel=DIAGNOSE)
def dtc(
    adapter: AdapterOption = None,
    config: ConfigOption = None,
    language: LanguageOption = Language.EN,
    as_json: JsonOption = False,
) -> None:
    """Read the trouble codes: status, what they mean in plain words, what to do, and the freeze frame.

    Example: wearcast agent dtc --language zh
    """
    from edge_agent.diagnose.codes import read_report
    from edge_agent.diagnose.session import diagnosing

    with diagnosing(choose(adapter, config).connect) as session:
        report = read_report(session.tester)
    _print_report(report, language, as_json=as_json)
    if report.entries is None:
        raise typer.Exit(1)


@app.command(rich_help_panel=DIAGNOSE)
def clear(
    adapter: AdapterOption = None,
    config: ConfigOption = None,
    language: LanguageOption = Language.EN,
    stands: Annotated[
        bool, typer.Option("--it-stands", help="You see that it stands with its engine off, and it does not tell.")
    ] = False,
    record: Annotated[Path | None, typer.Option(help="File that the record is added to.")] = None,
) -> None:
    """Clear the trouble codes, after asking: never while the car drives, and recorded with what was cleared.

    With the codes go their freeze frames and the state of the monitors: an inspection may fail until the car has
    tested itself again. A cleared code comes back if its fault is still there. With --config the backend is told too;
    the agent must be stopped for it.

    Example: wearcast agent clear --adapter can:socketcan:can0
    """
    from edge_agent.diagnose.clear import (
        ClearRefusedError,
        Record,
        clear_codes,
        read_motion,
        refusal,
        require_clearable,
    )
    from edge_agent.diagnose.codes import CodesReport, read_report
    from edge_agent.diagnose.report import reporting
    from edge_agent.diagnose.session import diagnosing
    from edge_agent.recognition.take import take_fingerprint

    chosen = choose(adapter, config)
    backend = nullcontext() if chosen.config is None else reporting(chosen.config)
    by, file = _user(), record or _state_folder() / "cleared.jsonl"
    with backend as report, diagnosing(chosen.connect) as session:
        if session.identifier_bits is None:
            raise ClearRefusedError(f"not cleared: {NOBODY}")
        if reason := refusal(read_motion(session.tester), stands=stands):
            raise ClearRefusedError(f"not cleared: {reason}")
        there = read_report(session.tester)
        _print_report(there, language, as_json=False)
        require_clearable(there)
        if typer.prompt("Type 'clear' to clear them; anything else leaves them") != "clear":
            print("Nothing was cleared.")
            raise typer.Exit(1)
        kept = Record(path=file, by=by, vin=take_fingerprint(session.tester).vin)

        def keep(before: CodesReport) -> None:
            kept.begin(before, at=datetime.now(UTC))

        cleared = clear_codes(session.tester, stands=stands, before_clearing=keep)
        _print_cleared(cleared)
        now = datetime.now(UTC)
        try:
            kept.end(cleared, at=now)
            print(f"Recorded in {file}.")
        except OSError as error:
            print(f"What came of it could not be recorded in {file} ({error.strerror}); what was there is.")
        if report is not None and cleared.outcome != "not cleared":
            report.cleared(cleared.before, at=now, by=by)
    if cleared.outcome != "cleared":
        raise typer.Exit(1)


@app.command(rich_help_panel=DIAGNOSE)
def vin(adapter: AdapterOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Read the vehicle identification number, and say what its characters tell.

    Example: wearcast agent vin --json
    """
    from edge_agent.diagnose.session import diagnosing
    from edge_agent.recognition.take import take_fingerprint
    from edge_agent.recognition.vin import check_digit_is_right, has_check_digit, model_years

    with diagnosing(choose(adapter, config).connect) as session:
        number = take_fingerprint(session.tester).vin
    if number is None:
        print_json({"vin": None}) if as_json else print(f"The car does not tell its VIN. {NOBODY}")
        raise typer.Exit(1)
    told: dict[str, object] = {
        "vin": number,
        "maker": number[:3],
        "model_years": list(model_years(number)),
        "check_digit": check_digit_is_right(number) if has_check_digit(number) else None,
    }
    if as_json:
        print_json(told)
        return
    print(number)
    print(f"  maker (WMI)  {number[:3]}")
    print(f"  model year   {' or '.join(map(str, model_years(number))) or 'not told'}")
    if has_check_digit(number):
        print(f"  check digit  {'right' if told['check_digit'] else 'WRONG: misread, or not a North American car'}")


@app.command(rich_help_panel=DIAGNOSE)
def raw(
    request: Annotated[list[str], typer.Argument(help="Identifier and bytes in hex: 7E0 22 F1 90", show_default=False)],
    answer: Annotated[str | None, typer.Option(help="Identifier of the answer, if not where standards put it.")] = None,
    adapter: AdapterOption = None,
    config: ConfigOption = None,
    may_change: Annotated[
        bool, typer.Option("--may-change-the-car", help="Let services through that do more than read; asks again.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send one request and show the answers as they are.

    Example: wearcast agent raw 7DF 01 0C
    """
    from edge_agent.diagnose.clear import read_motion
    from edge_agent.diagnose.raw import parse_request
    from edge_agent.diagnose.session import diagnosing
    from edge_agent.errors import ConfigurationError, EdgeAgentError
    from edge_agent.obd.answers import AnswerError

    asked = parse_request(request, answer)
    if asked.clears:  # also with --may-change-the-car
        raise ConfigurationError("this clears trouble codes: wearcast agent clear does it, and records what was there")
    if not asked.only_reads:
        if not may_change:
            raise ConfigurationError(
                f"service {asked.payload[0]:02X} at {request[0]} may change the car; if that is wanted, give "
                "--may-change-the-car"
            )
        if typer.prompt("This may change the car. Type 'send' to send it") != "send":
            raise typer.Exit(1)
    answers: dict[str, str] = {}
    reasons: dict[str, str] = {}
    also = () if asked.address is None else (asked.address,)
    with diagnosing(choose(adapter, config).connect, also=also) as session:
        if not asked.only_reads and (speed := read_motion(session.tester).speed):
            raise EdgeAgentError(f"not sent: the car drives ({speed:g} km/h); stop first")
        if asked.address is None:
            exchange = session.tester.functional(asked.payload, expected=None)
            answers = {ecu: payload.hex(" ").upper() for ecu, payload in exchange.answers.items()}
            if not answers:
                reasons["all"] = exchange.reason(session.tester.timeout_s)
        else:
            try:
                answers[asked.address.ecu] = session.tester.physical(asked.address, asked.payload).hex(" ").upper()
            except AnswerError as error:
                reasons[asked.address.ecu] = str(error)
    if as_json:
        print_json({"answers": answers, "failed": reasons})
    else:
        for ecu, payload in sorted(answers.items()):
            print(f"{ecu}  {payload}")
        for ecu, reason in reasons.items():
            print(f"{ecu}: {reason}")
    if not answers:
        raise typer.Exit(1)


def _print_report(report: "CodesReport", language: Language, *, as_json: bool) -> None:
    rows = [
        code_row(
            asdict(entry.code),
            language,
            frame=None if entry.frame is None else entry.frame.values,
            failed_this_cycle=None if entry.record is None else entry.record.failed_this_cycle,
        )
        for entry in report.entries or ()
    ]
    if as_json:
        print_json(
            {
                "codes": None
                if report.entries is None
                else [
                    row | {"record": _record_row(entry.record), "freeze_frame": entry.frame}
                    for row, entry in zip(rows, report.entries, strict=True)
                ],
                "ecus_read": sorted(report.ecus_read),
                "faults": report.faults,
            }
        )
        return
    if report.silent:
        print(NOBODY)
    elif report.entries is None:
        print("The trouble codes could not be read: this is not the same as having none.")
    else:
        print_rows(rows, as_json=False, empty=f"No trouble codes, in {', '.join(sorted(report.ecus_read))}.")
    for entry in report.entries or ():
        if entry.frame is not None:
            print(f"\nFreeze frame of {entry.code.code} at {entry.frame.ecu}:")
            _print_values(entry.frame.values)
    _print_faults(report.faults)


def _record_row(record: "DtcRecord | None") -> dict[str, object] | None:
    """The status byte of UDS, and what its bits say; None of a bit that the ECU does not keep."""
    if record is None:
        return None
    return asdict(record) | {
        "pending": record.pending,
        "confirmed": record.confirmed,
        "warning_lamp": record.warning_lamp,
        "failing_now": record.failing_now,
        "failed_this_cycle": record.failed_this_cycle,
        "failed_since_clear": record.failed_since_clear,
    }


def _print_values(values: Mapping[str, float]) -> None:
    width = max(map(len, values), default=0)
    for path, value in sorted(values.items()):
        print(f"  {path:<{width}}  {number(value)} {unit_of(path)}")


def _print_faults(faults: object) -> None:
    for fault in faults if isinstance(faults, tuple) else ():
        print(f"Not read: {fault.request}: {fault.reason}")


def _print_cleared(cleared: "Cleared") -> None:
    for ecu, said in sorted(cleared.answers.items()):
        print(f"{ecu}: {said}")
    if cleared.after.entries is None:
        print("The codes could not be read again.")
    elif cleared.after.entries:
        print("Still there:", ", ".join(f"{e.code.code} ({e.code.status})" for e in cleared.after.entries))
        if any(entry.code.status == "permanent" for entry in cleared.after.entries):
            print("A permanent code goes by itself, once the car has found its fault gone.")
    else:
        print("No codes are left.")


def _user() -> str:
    """Who asked: also behind sudo, and where the system knows no name."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # KeyError until Python 3.12
        return f"uid {os.getuid()}"


def _state_folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "wearcast"
