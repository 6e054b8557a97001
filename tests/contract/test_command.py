"""The command: its help, what it imports, how it fails, and that every line the documents show exists."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.testing import CliRunner

from tests.contract.command_lines import commands, complaint, in_markdown, in_script, in_unit, tree
from wearcast.cli import app
from wearcast.commands import agent
from wearcast.failures import OURS

ROOT = Path(__file__).parents[2]
BACKEND = {"psycopg", "numpy", "fastapi", "apprise"}
PROTOCOLS = {"udsoncan", "can", "isotp", "cantools", "paho"}
# Prints which of the modules named first were imported by the command line that follows.
_IMPORTED_BY = """
import sys
from wearcast.cli import main

names = sys.argv[1].split(",")
sys.argv[:2] = ["wearcast"]
try:
    main()
except SystemExit as end:
    status = end.code or 0
print("imported:", *sorted(name for name in names if name in sys.modules), file=sys.stderr)
sys.exit(status)
"""

GROUPS = [((), tree()), *((path, command) for path, command in commands(tree()) if isinstance(command, TyperGroup))]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md") if (ROOT / name).is_file()),
    *sorted((ROOT / "docs").glob("*.md")),
]


def wearcast(
    *arguments: str, watch: set[str] | None = None, environment: dict[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEARCAST_")}
    program = ["-m", "wearcast.cli"] if watch is None else ["-c", _IMPORTED_BY, ",".join(sorted(watch))]
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(ROOT), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def write_agent(folder: Path, text: str = "") -> Path:
    path = folder / "agent.yaml"
    path.write_text(
        "device: car-7\nvehicle_profile: generic\noutbox: {path: outbox.sqlite}\n"
        f"source: {{kind: obd_can, interface: virtual, channel: bench}}\n{text}",
        encoding="utf-8",
    )
    return path


# Help


@pytest.mark.parametrize(
    ("path", "group"), GROUPS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_the_help_of_a_group_names_each_of_its_commands(path: tuple[str, ...], group: TyperGroup) -> None:
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    shown = {line.strip("│ ").split(" ")[0] for line in result.output.splitlines()}
    assert set(group.commands) <= shown


def test_every_command_and_option_says_what_it_is_for() -> None:
    for path, command in commands(tree()):
        assert command.help, f"{' '.join(path)} has no help"
        for parameter in command.params:
            assert parameter.help, f"{' '.join(path)} {parameter.opts[0]} has no help"


def test_wherever_rows_are_listed_there_is_json() -> None:
    listing = [path for path, _ in commands(tree()) if path[-1] in {"list", "status", "batches", "rejected", "outbox"}]
    assert listing
    for path in listing:
        assert complaint([*path, *(["agent.yaml"] if path[-1] == "outbox" else []), "--json"]) is None, path


# What is imported


@pytest.mark.parametrize("arguments", [("--help",), ("agent", "--help"), ("--version",)], ids=" ".join)
def test_help_imports_no_library_of_any_group(arguments: tuple[str, ...]) -> None:
    result = wearcast(*arguments, watch=BACKEND | PROTOCOLS)
    assert (result.returncode, result.stderr.strip()) == (0, "imported:")


def test_the_agent_works_without_what_the_dongle_does_not_have(tmp_path: Path) -> None:
    config = write_agent(tmp_path)
    result = wearcast("agent", "check", str(config), watch=BACKEND | {"can"})
    assert (result.returncode, result.stderr.strip().splitlines()[-1]) == (0, "imported: can")
    recording = tmp_path / "trip.csv"
    recording.write_text("time,Vehicle.Speed\n2026-01-31T08:00:00Z,50\n", encoding="utf-8")
    config.write_text(
        "device: car-7\noutbox: {path: outbox.sqlite}\ndrain: 0s\nmqtt: {port: 1}\n"
        "source: {kind: replay_csv, path: trip.csv}\n",
        encoding="utf-8",
    )
    result = wearcast("agent", "run", str(config), watch=BACKEND | {"paho"})
    assert (result.returncode, result.stderr.strip().splitlines()[-1]) == (0, "imported: paho")
    assert '"count": 1' in wearcast("agent", "outbox", str(config), "--json").stdout


# How it fails


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (("agent", "check", "nowhere.yaml"), {}, "nowhere.yaml: cannot be read: No such file"),
        (("agent", "outbox", "agent.yaml"), {}, "there is no outbox; has the agent run"),
        (("agent", "garage", "nowhere.yaml"), {}, "nowhere.yaml: cannot be read"),
        (("agent", "check", "misspelt.yaml"), {}, "unknown key; did you mean 'batch'?"),
        (("flash", "check", "generick"), {}, "generick"),
        (("flash", "bundle", "car-7", "--broker", "host:port", "--out", "x"), {}, "give it as HOST:PORT"),
        (("rules", "check", "nowhere"), {}, "nowhere"),
        (("db", "status"), {"WEARCAST_DATABSE_URL": "x"}, "WEARCAST_DATABSE_URL is not a setting; there are: "),
        (("db", "status"), {"WEARCAST_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/w"}, "cannot open database"),
        (("ingest", "run"), {"WEARCAST_BROKER_URL": "http://u:secret@h"}, "WEARCAST_BROKER_URL: give it as mqtt://"),
        (("ingest", "run"), {"WEARCAST_BROKER_URL": "mqtt://u:secret@h:99999"}, "WEARCAST_BROKER_URL: the port"),
        (("portal", "link", "--role", "stranger"), {}, "role 'stranger': choose of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_error_is_one_sentence_and_status_1(
    arguments: tuple[str, ...], environment: dict[str, str], says: str, tmp_path: Path
) -> None:
    write_agent(tmp_path)
    write_agent(tmp_path, "bacth: 5s\n").rename(tmp_path / "misspelt.yaml")
    write_agent(tmp_path)
    result = wearcast(*arguments, environment=environment, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, ""), result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("wearcast: ")
    assert says in line
    assert "secret" not in line


def test_the_errors_of_every_package_end_so() -> None:
    """Each base error (it derives from nothing of ours) is one the command knows."""
    known = {getattr(importlib.import_module(module), name) for module, name in OURS}
    found = set()
    for path in (*ROOT.glob("*/errors.py"), *ROOT.glob("*/*/errors.py")):
        if not (path.parent / "__init__.py").is_file():
            continue
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        found |= {
            kind
            for kind in vars(module).values()
            if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == module.__name__
        }
    assert len(found) > 20
    assert {kind for kind in found if not issubclass(kind, tuple(known))} == set()


@pytest.mark.parametrize("arguments", [("agnet",), ("agent", "chekc"), ("db", "status", "--jsno")], ids=" ".join)
def test_a_misspelt_command_is_refused_with_the_usage(arguments: tuple[str, ...]) -> None:
    result = wearcast(*arguments)
    assert result.returncode == 2
    assert "Usage: " in result.stderr
    assert "Traceback" not in result.stderr


# What the documents show


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_command_lines_of_a_document_exist(path: Path) -> None:
    for words in in_markdown(path.read_text(encoding="utf-8")):
        assert complaint(words) is None, f"{path.name}: wearcast {' '.join(words)}: {complaint(words)}"


def test_the_command_lines_of_units_and_of_the_makefile_exist() -> None:
    units = [*in_unit("\n".join(unit.read_text(encoding="utf-8") for unit in (ROOT / "systemd").glob("*.service")))]
    made = [*in_script((ROOT / "Makefile").read_text(encoding="utf-8"))]
    assert ["ingest", "run", "--name", "ingest-1"] in units
    assert ["demo", "run"] in made
    for words in (*units, *made):
        assert complaint(words) is None, f"wearcast {' '.join(words)}: {complaint(words)}"


@pytest.mark.parametrize(
    ("text", "words", "wrong"),
    [
        ("```sh\n$ wearcast db status --json\n```", ["db", "status", "--json"], None),
        ("```\nsudo A=1 /opt/w/bin/wearcast flash bundle car-7 \\\n  --out X --broker HOST:PORT  # all\n```",
         ["flash", "bundle", "car-7", "--out", "X", "--broker", "HOST:PORT"], None),
        ("say `wearcast why ALERT` to it", ["why", "ALERT"], None),
        ("`wearcast -v rules …`", ["-v", "rules", "…"], None),
        ("`wearcast rules lst`", ["rules", "lst"], "there is no command 'lst'"),
        ("`wearcast rules list --jsn`", ["rules", "list", "--jsn"], "there is no option --jsn"),
        ("`wearcast why A B`", ["why", "A", "B"], "2 arguments where there are 1"),
        ("`wearcast agent history A B --days`", ["agent", "history", "A", "B", "--days"], "--days needs a value"),
    ],
)  # fmt: skip
def test_command_lines_are_found_and_judged(text: str, words: list[str], wrong: str | None) -> None:
    assert list(in_markdown(text)) == [words]
    found = complaint(words)
    assert found is None if wrong is None else found is not None and wrong in found


def test_every_command_of_the_agent_stands_in_a_panel_of_its_help() -> None:
    panels = {agent.ON_THE_DONGLE, agent.DIAGNOSE, agent.WITHOUT_A_CAR}
    for command in agent.app.registered_commands:
        assert command.callback is not None
        assert command.rich_help_panel in panels, command.callback.__name__
