"""A headless Chromium of the system's, and pages in it that must not complain.

Playwright brings no browser of its own here. Where there is none, Debian's is installed if that can be done (root and
apt-get); else the tests are skipped, and say so.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from tests.integration.conftest import stack

__all__ = ["stack"]

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# Nobody has pressed anything in some tests, and sound must come all the same; the rest keeps it quiet and offline.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
WAIT_MS = 60_000
Open = Callable[..., Page]


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def install_chromium() -> None:
    """Try to; a mirror that is slow or away only means that the tests are skipped."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    commands = ((60, ["update"]), (180, ["install", "--yes", "--no-install-recommends", "chromium"]))
    for patience_s, command in commands:
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["apt-get", "--quiet", *command],
                env=environment, check=False, capture_output=True, timeout=patience_s,
            )  # fmt: skip


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        # Tests run in several processes: one installs it, the others wait.
        with Path(tempfile.gettempdir(), "duetto-chromium.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if find_chromium() is None:
                install_chromium()
    found = find_chromium()
    if found is None:
        pytest.skip("there is no Chromium: install it (Debian: apt-get install chromium) to test the page")
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One for each file: Playwright's loop runs in this thread, and other files' tests have loops of their own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


class Visit:
    """A person's browser: what it keeps, and all that went wrong in it."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.faults: list[str] = []
        self.context: BrowserContext = browser.new_context(base_url=url, **options)
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", self._on_console)
        self.page.on("request", self._on_request)

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, *_: object) -> None:
        self.context.close()
        assert self.faults == []

    def _on_console(self, message: ConsoleMessage) -> None:
        # A problem that the page shows is logged by the browser too.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.faults.append(message.text)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.faults.append(f"a request to {request.url}")


@pytest.fixture
def video() -> Path:
    """The example duet."""
    return Path(__file__).parents[2] / "examples" / "duet.mp4"
