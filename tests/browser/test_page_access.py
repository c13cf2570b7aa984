"""Who can use the page: people with a keyboard, a screen reader, a phone, and those who need an API key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from playwright.sync_api import Browser, Page, expect

from app.keys import make_entry, make_key
from app.main import create_app
from app.settings import Settings
from app.stack import Stack
from tests.browser.conftest import WAIT_MS, Visit
from tests.conftest import ServedApp

pytestmark = pytest.mark.integration

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
expect.set_options(timeout=WAIT_MS)
SIZES = {"phone": {"width": 390, "height": 844}, "wide": {"width": 1600, "height": 1000}}


def violations(page: Page) -> list[str]:
    """What axe-core holds to be serious or worse, in few words."""
    found: Any = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert len(found["passes"]) > 10  # it has really looked
    return [
        f"{entry['id']}: {node['html'][:160]}"
        for entry in found["violations"]
        if entry["impact"] in ("serious", "critical")
        for node in entry["nodes"]
    ]


@pytest.fixture(scope="module")
def job(stack: Stack) -> str:
    """A duet that has been separated."""
    with (Path(__file__).parents[2] / "examples" / "duet.mp4").open("rb") as video:
        names = {"left": "trumpet", "right": "acoustic_guitar"}
        posted = httpx.post(
            f"{stack.url}/v1/jobs", files={"video": video}, data=names, timeout=60, trust_env=False
        ).json()
    for _ in range(10):
        found = httpx.get(f"{stack.url}{posted['links']['self']}?wait=30", timeout=60, trust_env=False).json()
        if found["state"] == "succeeded":
            break
    assert found["state"] == "succeeded", found
    identity: str = found["id"]
    return identity


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, stack: Stack, job: str, size: str, theme: Any) -> None:
    with Visit(browser, stack.url, viewport=SIZES[size], color_scheme=theme, bypass_csp=True) as page:
        page.goto("/")
        page.add_script_tag(path=AXE)
        assert violations(page) == []
        page.evaluate("id => { location.hash = id; }", job)
        page.wait_for_selector("#result:not([hidden])")
        page.locator(".player.left summary").click()
        page.get_by_role("button", name="Mute trumpet").click()
        # Colours that are on their way to others are none.
        page.wait_for_function("() => document.getAnimations().length === 0")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.evaluate("location.hash = '0'.repeat(32)")
        page.wait_for_selector("#failure:not([hidden])")
        assert violations(page) == []


def test_the_keyboard_reaches_everything(browser: Browser, stack: Stack, job: str) -> None:
    with Visit(browser, stack.url) as page:
        page.goto(f"/#{job}")
        page.wait_for_selector("#result:not([hidden])")
        expect(page.locator("#result-title")).to_be_focused()
        reached = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent"))
        wanted = {
            "Download both", "Delete", "Play", "Position", "Mute trumpet", "Solo trumpet", "Volume of the trumpet",
            "Download the acoustic guitar", "Not a trumpet?", "New",
        }  # fmt: skip
        assert wanted <= reached


def test_the_switch_of_colours_is_kept(browser: Browser, stack: Stack) -> None:
    with Visit(browser, stack.url, color_scheme="light") as page:
        page.goto("/")
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_label("Dark").check(force=True)
        dark = page.evaluate(ground)
        assert dark != light
        page.reload()
        page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
        assert page.evaluate(ground) == dark
        page.get_by_label("Auto").check(force=True)
        assert page.evaluate(ground) == light


def test_where_keys_are_needed_one_is_asked_for(
    browser: Browser, settings: Settings, redis_client: redis.Redis, video: Path
) -> None:
    key = make_key()
    app = create_app(settings.model_copy(update={"api_keys": make_entry("alice", key)}))
    with ServedApp(app) as url, Visit(browser, url) as page:
        page.goto("/")
        page.set_input_files("#files", video)
        page.click("#send")
        expect(page.locator("#key-text")).to_contain_text("asks for an API key")
        page.get_by_role("textbox", name="API key").fill("duetto_wrong")
        page.get_by_role("button", name="Go on").click()
        expect(page.locator("#key-text")).to_contain_text("not one of this server's")
        page.get_by_role("textbox", name="API key").fill(key)
        page.get_by_role("button", name="Go on").click()
        expect(page.locator("#note")).to_have_text("Yours is next")
        # The tab remembers; events come with the key, too.
        page.reload()
        expect(page.locator("#note")).to_have_text("Yours is next")
        page.click("#cancel")
        expect(page.locator("#failure-title")).to_have_text("Canceled")
        assert redis_client.keys("duetto:jobs:of:alice")
