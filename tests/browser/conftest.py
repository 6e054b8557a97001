"""A real Chromium for the browser tests."""

import ctypes
import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

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
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_SWITCHES))
        yield browser
        browser.close()
