"""What the demo's exit status says when it is interrupted."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wearcast.demo import run
from wearcast.demo.errors import DemoError
from wearcast.demo.stage import only_one_in


def nothing(*_: object, **__: object) -> Any:
    return SimpleNamespace(url="", mail=Path(), folder=Path(), processes={}, receiver=None)


@contextlib.contextmanager
def empty(*_: object, **__: object) -> Iterator[Any]:
    yield SimpleNamespace(
        url="", mail=Path(), folder=Path(), garage=Path(), broker=empty, start_service=nothing, environment={}
    )


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def interrupted_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """The demo without any of its parts, interrupted in the named step."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for name in ("only_one_in", "private_database", "open_stage", "Receiver", "connect"):
        monkeypatch.setattr(run, name, empty)
    for name in (
        "open_keys", "migrate", "register", "outboxes", "samples_accepted", "Watch",
        "wear_normally", "_upload_past", "_go_live", "_follow", "_settle", "_tell", "_stay",
    ):  # fmt: skip
        monkeypatch.setattr(run, name, nothing)

    def start(step: str) -> None:
        monkeypatch.setattr(run, step, interrupted)
        run.run_demo(stay=True)

    yield start
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("step", ["_upload_past", "_follow", "_settle"])
def test_an_interrupt_before_the_end_is_a_failure(interrupted_in: Callable[[str], None], step: str) -> None:
    with pytest.raises(DemoError, match="interrupted before"):
        interrupted_in(step)


def test_ctrl_c_after_a_good_end_is_none(
    interrupted_in: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted_in("_stay")
    assert "all processes are gone" in capsys.readouterr().out


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with only_one_in(tmp_path / "demo"), pytest.raises(DemoError, match="another demo"), only_one_in(tmp_path / "demo"):
        pass
    with only_one_in(tmp_path / "demo"):
        pass
