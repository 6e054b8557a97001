"""``wearcast remote``: ask a device something through the broker."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.diagnose.trace import Trace
from telemetry.commands import LONGEST_LIVE_SECONDS, CommandKind, CommandResult
from wearcast.car_tables import Language, code_row, live_table, unit_of
from wearcast.commands.common import JsonOption, LanguageOption, database_url
from wearcast.output import print_json, print_rows

if TYPE_CHECKING:
    from ingest.broker import BrokerConfig

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
    from wearcast.settings import SettingsError, load_settings

    settings = load_settings()
    try:
        token = settings.operator_token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"{settings.operator_token_file} cannot be read ({error.strerror}): it holds the token that lets you ask; "
            "wearcast operators allow NAME --save makes one, WEARCAST_OPERATOR_TOKEN_FILE names another place"
        ) from error
    live_s = seconds if what is CommandKind.LIVE else 0.0
    patience = timedelta(seconds=wait + (live_s + _MARGIN_S if live_s else 0))
    show = _Show(what, as_json=as_json, language=language)
    with database_url(settings) as url:
        final = asyncio.run(
            _ask(url, broker_config(settings), token, device, what, seconds=live_s, patience=patience, show=show)
        )
    if final.state != "done":
        raise typer.Exit(1)


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
    from ingest import commands
    from ingest.database import connect
    from ingest.errors import CommandError
    from ingest.remote import exchange

    with connect(url, application_name="wearcast-remote", autocommit=True) as conn:
        command = commands.issue(
            conn, token=token, device=device, kind=kind, seconds=seconds, patience=patience, now=datetime.now(UTC)
        )
        if isinstance(command, commands.Denied):
            raise CommandError(command.reason)
        accepted = False
        with show.screen():
            async for result in exchange(broker, command):
                accepted = True
                commands.record(conn, result, datetime.now(UTC))
                show.result(result)
                if result.final:
                    return result
        seen = commands.last_seen(conn, device)
        reason = _silence(device, patience, accepted=accepted, seen=seen)
        commands.time_out(conn, command, reason, datetime.now(UTC))
        raise CommandError(reason)


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
            print(f"{result.device}: {result.state}: {result.reason}", file=sys.stderr)
        elif result.state == "part":
            self._part(result)
        elif result.state == "done" and self._kind is not CommandKind.LIVE:
            self._done(result)

    def _part(self, result: CommandResult) -> None:
        values = _mapping(result.data.get("values"))
        if self._json:
            import json

            print(json.dumps({"time": result.time.isoformat(), "values": values}), flush=True)
            return
        at = result.time.timestamp()
        self._trace.add({path: float(value) for path, value in values.items()}, at)
        if self._live is not None:
            self._live.update(live_table(self._trace.rows(at)))
        else:
            print(result.time.isoformat(timespec="seconds"), *(f"{p.split('.')[-1]}={v:g}" for p, v in values.items()))

    def _done(self, result: CommandResult) -> None:
        if self._json:
            print_json({"time": result.time, "note": result.reason, **result.data})
            return
        if result.reason:
            print(f"Note: {result.reason}")
        if "trouble_codes" in result.data:
            _print_codes(result.data, self._language)
        if self._kind is CommandKind.SNAPSHOT:
            print_rows(
                [
                    {
                        "signal": path,
                        "value": entry.get("value"),
                        "unit": unit_of(path),
                        "read": entry.get("time"),
                    }
                    for path, entry in sorted(_mapping(result.data.get("values")).items())
                ],
                as_json=False,
            )


def _print_codes(data: Mapping[str, object], language: Language) -> None:
    entries = data["trouble_codes"]
    print_rows(
        [code_row(_mapping(entry), language) for entry in entries] if isinstance(entries, list) else [],
        as_json=False,
        title=f"Trouble codes, read {data.get('codes_read_at')}",
        empty="no trouble codes",
    )


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
