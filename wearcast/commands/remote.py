"""``wearcast remote``: ask a device something through the broker."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.diagnose.trace import Trace
from telemetry.commands import LONGEST_LIVE_SECONDS, CommandKind, CommandResult
from wearcast.car_tables import Language, code_row, live_table, number, short_names, unit_of
from wearcast.commands.common import JsonOption, LanguageOption, database_url, schema_expected
from wearcast.output import print_json, print_rows, printable
from wearcast.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from ingest.broker_connection import BrokerConfig
    from ingest.database import Connection
    from telemetry.commands import Command

_MARGIN_S = 15.0  # for the way there and back, and for a car that takes long to give its codes


def remote(
    device: Annotated[str, typer.Argument(help="Id of the device.", show_default=False)],
    what: Annotated[
        CommandKind,
        typer.Argument(
            help="dtc: trouble codes read now. live: values as they are read. snapshot: the latest of everything.",
            show_default=False,
        ),
    ],
    seconds: Annotated[float, typer.Option(help="How long live goes on.", min=1, max=LONGEST_LIVE_SECONDS)] = 30.0,
    wait: Annotated[float, typer.Option(help="Seconds to wait for an answer.", min=1, max=600)] = 30.0,
    language: LanguageOption = Language.EN,
    as_json: JsonOption = False,
) -> None:
    """Ask a device something through the broker: only reads, and a sleeping car is left asleep.

    Needs a token (wearcast operators allow). What was asked and answered is recorded: wearcast operators log.

    Example: wearcast remote dongle-0007 dtc
    """
    from wearcast.services import broker_config

    settings = load_settings()
    token = _token(settings.operator_token_file)
    live_s = seconds if what is CommandKind.LIVE else 0.0
    patience = timedelta(seconds=wait + (live_s + _MARGIN_S if live_s else 0))
    show = _Show(what, as_json=as_json, language=language)
    with database_url(settings) as url, schema_expected():
        final = asyncio.run(
            _ask(url, broker_config(settings), token, device, what, seconds=live_s, patience=patience, show=show)
        )
    if final.state != "done":
        raise typer.Exit(1)


def _token(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{file} cannot be read ({getattr(error, 'strerror', None) or 'no text'}): it holds the token that lets "
            "you ask; wearcast operators allow NAME --save makes one, WEARCAST_OPERATOR_TOKEN_FILE names another place"
        ) from error


async def _ask(
    url: str,
    broker: "BrokerConfig",
    token: str,
    device: str,
    kind: CommandKind,
    *,
    seconds: float,
    patience: timedelta,
    show: "_Show",
) -> CommandResult:
    """Record, send, record what comes. CommandError if it was denied or nothing came."""
    from ingest.database import connect, database_time
    from ingest.errors import CommandError, IngestError
    from ingest.outbound import commands

    with connect(url, application_name="wearcast-remote", autocommit=True) as conn:
        command = commands.issue(
            conn,
            token=token,
            device=device,
            kind=kind,
            seconds=seconds,
            patience=patience,
            now=datetime.now(UTC),
            database_now=database_time(conn),
        )
        if isinstance(command, commands.Denied):
            raise CommandError(command.reason)
        try:
            final, accepted = await _answers(conn, broker, command, show)
        except IngestError as error:
            commands.give_up(conn, command, str(error), datetime.now(UTC), state="failed")
            raise
        except asyncio.CancelledError:  # Ctrl-C
            commands.give_up(conn, command, "whoever asked did not wait for the answer", datetime.now(UTC))
            raise
        if final is not None:
            return final
        reason = _silence(device, patience, accepted=accepted, seen=commands.last_seen(conn, device))
        commands.give_up(conn, command, reason, datetime.now(UTC))
        raise CommandError(reason)


async def _answers(
    conn: "Connection", broker: "BrokerConfig", command: "Command", show: "_Show"
) -> tuple[CommandResult | None, bool]:
    """The last message of the answer, None if none came in time; and whether there was any message at all."""
    from ingest.outbound import commands
    from ingest.outbound.remote import exchange

    heard = False
    with show.screen():
        async with contextlib.aclosing(exchange(broker, command)) as answers:
            async for result in answers:
                heard = True
                commands.record(conn, result, datetime.now(UTC))
                show.result(result)
                if result.final:
                    return result, heard
    return None, heard


def _silence(device: str, patience: timedelta, *, accepted: bool, seen: Any) -> str:
    waited = f"{device} did not answer in {patience.total_seconds():.0f} s"
    if accepted:
        return f"{waited}, though it took the command; ask again"
    if seen is None:
        return f"{waited}; it has never reported here: was it ever connected?"
    since = seen.time.isoformat(sep=" ", timespec="seconds")
    if seen.state == "offline":
        return f"{waited}: it has been offline since {since}; it answers when it is driven or online again"
    return f"{waited}, though it called itself online at {since}; its agent may be older, or the connection just broke"


class _Show:
    """What a person sees of the answer, or a program: with JSON one object a line for live, one at all for the rest."""

    def __init__(self, kind: CommandKind, *, as_json: bool, language: Language) -> None:
        self._kind = kind
        self._json = as_json
        self._language = language
        self._trace = Trace()
        self._live: Any = None

    def screen(self) -> AbstractContextManager[object]:
        """A table that updates, where there is a terminal and live values are asked for."""
        if self._kind is not CommandKind.LIVE or self._json or not sys.stdout.isatty():
            return nullcontext()
        from rich.live import Live

        self._live = Live(refresh_per_second=4)
        return self._live  # type: ignore[no-any-return]  # rich's own context manager

    def result(self, result: CommandResult) -> None:
        """Show one message of an answer."""
        if result.state in {"refused", "failed"}:
            print(printable(f"{result.device}: {result.state}: {result.reason}"), file=sys.stderr)
        elif result.state == "part":
            self._part(result)
        elif result.state == "done" and self._kind is not CommandKind.LIVE:
            self._done(result)

    def _part(self, result: CommandResult) -> None:
        values = _numbers(result.data.get("values"))
        if self._json:
            print(json.dumps({"time": result.time.isoformat(), "values": values}), flush=True)
            return
        at = result.time.timestamp()
        self._trace.add(values, at)
        if self._live is not None:
            self._live.update(live_table(self._trace.rows(at)))
            return
        names = short_names(values)
        told = (f"{names[path]}={number(value)}{unit_of(path)}" for path, value in values.items())
        print(printable(" ".join((result.time.isoformat(timespec="seconds"), *told))), flush=True)

    def _done(self, result: CommandResult) -> None:
        if self._json:
            print_json({"time": result.time, "note": result.reason, **result.data})
            return
        if result.reason:
            print(printable(f"Note: {result.reason}"))
        if "trouble_codes" in result.data:
            _print_codes(result.data, self._language)
        if self._kind is CommandKind.SNAPSHOT:
            print_rows(
                [
                    {
                        "signal": path,
                        "value": _mapping(entry).get("value"),
                        "unit": unit_of(path),
                        "read": _moment(_mapping(entry).get("time")),
                    }
                    for path, entry in sorted(_mapping(result.data.get("values")).items())
                ],
                as_json=False,
                empty="no values",
            )


def _print_codes(data: Mapping[str, object], language: Language) -> None:
    entries = data["trouble_codes"]
    print_rows(
        [code_row(_mapping(entry), language) for entry in entries] if isinstance(entries, list) else [],
        as_json=False,
        title=f"Trouble codes, read {_moment(data.get('codes_read_at'))}",
        empty="no trouble codes",
    )


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _numbers(value: object) -> dict[str, float]:
    """Values of a live answer; what is no number is not believed."""
    return {path: float(each) for path, each in _mapping(value).items() if type(each) in {int, float}}


def _moment(value: object) -> str:
    """A time of an answer to the second; as it stands where it is none."""
    try:
        return datetime.fromisoformat(str(value)).isoformat(sep=" ", timespec="seconds")
    except ValueError:
        return printable(str(value))
