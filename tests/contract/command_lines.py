"""The command's tree of groups, and the ``wearcast …`` lines that files of the repository show."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
from typer.core import TyperGroup

from wearcast.cli import app

PROGRAM = "wearcast"
_HELP = {"--help", "-h"}
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_BEFORE = {"sudo", "exec", "time", "@"}  # what may stand before a program


@cache
def tree() -> TyperGroup:
    """The command with its groups."""
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    return command


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group below, with the words that lead to it."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))


def complaint(words: list[str]) -> str | None:
    """What is wrong with the words after ``wearcast``; None if such a command line can be.

    Values are not looked at, so that placeholders may stand for them; names, options and the number of arguments are.
    """
    command: Any = tree()
    values = 0  # that options wait for
    arguments = 0
    for word in words:
        if values:
            values -= 1
        elif word.startswith("-") and word not in _HELP:
            name, equals, _ = word.partition("=")
            option = next((option for option in command.params if name in (*option.opts, *option.secondary_opts)), None)
            if option is None:
                return f"there is no option {name}"
            values = 0 if equals or option.is_flag else option.nargs
        elif word in _HELP or word == "…":
            continue
        elif isinstance(command, TyperGroup):
            if word not in command.commands:
                return f"there is no command {word!r}; there are {', '.join(command.commands)}"
            command = command.commands[word]
        else:
            arguments += 1
    if values:
        return f"{words[-1]} needs a value"
    if isinstance(command, TyperGroup):
        return None
    takes = [argument.nargs for argument in command.params if argument.param_type_name == "argument"]
    if -1 not in takes and arguments > sum(takes):
        return f"{arguments} arguments where there are {sum(takes)}"
    return None


def in_markdown(text: str) -> Iterator[list[str]]:
    """The command lines in fenced blocks, and those in ``inline code`` that begin with the program."""
    for block in _FENCE.findall(text):
        yield from in_script(block)
    for code in _INLINE.findall(_FENCE.sub("", text)):
        if code.startswith(f"{PROGRAM} "):
            yield from in_script(code)


def in_script(text: str) -> Iterator[list[str]]:
    """The command lines of a shell script, a make file or a terminal's transcript: the words after ``wearcast``."""
    text = re.sub(r"\\\n\s*", " ", text)
    text = re.sub(r"\$\([A-Z]+\)/", "", text)  # make: $(BIN)/wearcast
    text = re.sub(r"\$\([A-Z]+\)", "", text)  # make: $(ARGS)
    for line in text.splitlines():
        for part in re.split(r"&&|\|\||[|;]", line.strip().removeprefix("$ ").removeprefix("@")):
            yield from _call(part)


def in_unit(text: str) -> Iterator[list[str]]:
    """The command lines of a systemd unit."""
    for line in text.splitlines():
        if re.match(r"Exec[A-Z][A-Za-z]*=", line):
            yield from _call(line.partition("=")[2].lstrip("@-:+!"))


def _call(part: str) -> Iterator[list[str]]:
    try:
        words = shlex.split(part, comments=True)
    except ValueError:
        return  # an apostrophe of a sentence, no command line
    while words and (words[0] in _BEFORE or _ASSIGNMENT.match(words[0])):
        words = words[1:]
    if words and Path(words[0]).name == PROGRAM and "->" not in words:  # who may import whom is no command line
        yield words[1:]
