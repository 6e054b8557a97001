"""``wearcast agent doctor``: what keeps a dongle from working, with the remedy."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from wearcast.commands.adapter import AdapterOption, ConfigOption
from wearcast.commands.agent import DIAGNOSE, app
from wearcast.commands.common import JsonOption
from wearcast.output import print_json

if TYPE_CHECKING:
    from edge_agent.diagnose.doctor import Check

_SIGNS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "skipped": "-   "}


@app.command(rich_help_panel=DIAGNOSE)
def doctor(adapter: AdapterOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check adapter, bus, ignition, clock, broker, certificate and disk; whatever is wrong comes with its remedy.

    Works with an adapter alone; with --config also what concerns the backend. Ends with status 1 if a check fails.

    Example: wearcast agent doctor --config agent.yaml
    """
    from edge_agent.adapters import adapter_at, found_adapters
    from edge_agent.build import build_connect
    from edge_agent.config import load_config
    from edge_agent.diagnose.doctor import config_check, examine

    checks: list[Check] = []

    def tell(check: "Check") -> None:
        checks.append(check)
        if not as_json:
            print(f"{_SIGNS[check.verdict]}  {check.name:<13} {check.found}", flush=True)
            if check.remedy:
                print(f"      {'':<13} -> {check.remedy}", flush=True)

    loaded, connect, name = None, None, adapter or ""
    if config is not None:
        loaded, check = config_check(lambda: load_config(config, needs_password=False))
        tell(check)
    if adapter is not None:
        connect = adapter_at(adapter).connect
    elif loaded is not None:
        connect, name = build_connect(loaded), f"the source of {config}"
    elif found := found_adapters():
        others = f" (also there: {', '.join(found[1:])}; --adapter chooses)" if len(found) > 1 else ""
        connect, name = adapter_at(found[0]).connect, found[0] + others
    for check in examine(connect, adapter=name, config=loaded, now=datetime.now(UTC)):
        tell(check)
    if as_json:
        print_json(checks)
    if any(check.verdict == "fail" for check in checks):
        raise typer.Exit(1)
