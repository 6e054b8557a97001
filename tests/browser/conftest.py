"""A real Chromium for the browser tests."""

import ctypes
import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

_DEADLINE_MS = 60_000  # playwright's own, of 5 s for what is expected, a busy machine can pass
_SWITCHES = (
    "--no-sandbox",  # Chromium refuses to run as root with it
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
)


def _has_libatomic() -> bool:
    try:
        ctypes.CDLL("libatomic.so.1")
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")  # not the session: while it is open, its event loop counts as running for all tests
def chromium() -> Iterator[Browser]:
    """The distribution's Chromium, without a window."""
    program = shutil.which("chromium")
    if program is None or not _has_libatomic():
        missing = "chromium" if program is None else "libatomic1, which playwright's driver needs"
        reason = f"no {missing} on this machine: run `make browser` as root"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=_DEADLINE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_SWITCHES), timeout=_DEADLINE_MS)
        yield browser
        browser.close()
