"""The page in a real browser, with a real worker behind it: what a musician does, from the video to the tracks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from app.stack import Stack
from tests.browser.conftest import WAIT_MS, Visit
from tests.media import image_bytes, write_wav
from tests.unit.signals import noise

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "duet.mp4"
expect.set_options(timeout=WAIT_MS)

# Kept by the page's own script, so that nothing between two looks is missed.
_WATCH = """
window.seen = [];
addEventListener("DOMContentLoaded", () => {
  const note = () => {
    if (document.getElementById("work").hidden) return;
    const now = [document.getElementById("stage").textContent, Number(document.getElementById("percent").textContent)];
    if (String(now) !== String(window.seen.at(-1))) window.seen.push(now);
  };
  new MutationObserver(note).observe(document.body,
    {subtree: true, childList: true, characterData: true, attributes: true});
});
"""


@dataclass
class Separated:
    """A duet that was sent through the page, and what the page said meanwhile."""

    id: str
    seen: list[tuple[str, int]] = field(default_factory=list)
    stored: str = ""  # what the browser keeps of it


def send(page: Page, path: Path) -> None:
    page.goto("/")
    page.set_input_files("#files", path)
    page.click("#send")


def id_of(page: Page) -> str:
    return page.url.rpartition("#")[2]


@pytest.fixture(scope="module")
def separated(browser: Browser, stack: Stack) -> Separated:
    with Visit(browser, stack.url) as page:
        page.add_init_script(_WATCH)
        send(page, EXAMPLE)
        page.wait_for_selector("#result:not([hidden])", timeout=150_000)
        stored = page.evaluate("localStorage.getItem('duetto-jobs')")
        return Separated(id_of(page), [tuple(pair) for pair in page.evaluate("seen")], stored)


@pytest.fixture
def page(browser: Browser, stack: Stack, separated: Separated) -> Iterator[Page]:
    """The duet's page, opened again by somebody who has sent it."""
    with Visit(browser, stack.url) as page:
        page.goto("/")
        page.evaluate("stored => localStorage.setItem('duetto-jobs', stored)", separated.stored)
        page.goto(f"/#{separated.id}")
        page.wait_for_selector("#result:not([hidden])")
        yield page


def api(stack: Stack, path: str) -> Any:
    return httpx.get(f"{stack.url}{path}", trust_env=False).json()


def test_progress_moves(separated: Separated) -> None:
    stages = [stage for stage, _ in separated.seen]
    assert stages[0] == "Sending the files"
    assert "Separating the players" in stages
    percents = [percent for stage, percent in separated.seen if stage != "Sending the files"]
    assert percents == sorted(percents)
    assert len(set(percents)) >= 3


def test_the_result_says_who_plays_and_why(page: Page, separated: Separated, stack: Stack) -> None:
    expect(page.locator("#result-title")).to_have_text("Trumpet & acoustic guitar")
    result = api(stack, f"/v1/jobs/{separated.id}/result")
    for side, name in (("left", "Trumpet"), ("right", "Acoustic guitar")):
        player = page.locator(f".player.{side}")
        expect(player.locator("h2")).to_have_text(name)
        expect(player).to_contain_text(re.compile(re.escape(result["quality"][side]["meaning"]), re.IGNORECASE))
        expect(player.locator(".guess")).to_have_count(3)
        # Where it was seen, to a hundredth of the film.
        seen, mark = result["views"][0][side], page.locator(f".mark.{side}").bounding_box()
        film = page.locator(".marks").bounding_box()
        assert mark is not None
        assert film is not None
        assert (mark["x"] - film["x"]) / film["width"] == pytest.approx(seen["left"], abs=0.01)
        assert mark["height"] / film["height"] == pytest.approx(seen["bottom"] - seen["top"], abs=0.02)
    assert page.evaluate("document.querySelectorAll('.wave > div').length") == 2
    pictures = page.locator(".pictures img")
    expect(pictures).to_have_count(len(result["pictures"]))
    for number in range(pictures.count()):
        pictures.nth(number).scroll_into_view_if_needed()
        page.wait_for_function(
            "image => image.complete && image.naturalWidth > 0", arg=pictures.nth(number).element_handle()
        )
        assert len(pictures.nth(number).get_attribute("alt") or "") > 20


PLAYING = "() => ['left', 'right'].every(side => duetto.player.sides[side].sound.currentTime > {})"
# Both heard at this very moment; either may pause for a note.
BOTH = "() => duetto.player.levels.left > 0.01 && duetto.player.levels.right > 0.01"
LEFT_ALONE = "() => duetto.player.levels.left > 0.01 && duetto.player.levels.right < 1e-4"
RIGHT_ALONE = "() => duetto.player.levels.right > 0.01 && duetto.player.levels.left < 1e-4"


def test_both_tracks_play_in_step_and_each_alone(page: Page) -> None:
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(PLAYING.format(1))
    page.wait_for_function(BOTH)
    apart = "() => Math.abs(duetto.player.sides.left.sound.currentTime - duetto.player.sides.right.sound.currentTime)"
    page.wait_for_function(f"() => ({apart})() < 0.02")
    page.wait_for_function("() => duetto.player.film.currentTime > 1 && duetto.player.film.muted")
    page.wait_for_function("() => Math.abs(duetto.player.film.currentTime - duetto.player.time) < 0.1")
    solo = page.get_by_role("button", name="Solo trumpet")
    solo.click()
    expect(solo).to_have_attribute("aria-pressed", "true")
    page.wait_for_function(LEFT_ALONE)
    page.get_by_role("button", name="Solo acoustic guitar").click()
    page.wait_for_function(BOTH)
    solo.click()
    page.wait_for_function(RIGHT_ALONE)
    page.get_by_role("button", name="Solo acoustic guitar").click()
    page.get_by_role("button", name="Mute acoustic guitar").click()
    page.wait_for_function(LEFT_ALONE)
    page.get_by_role("button", name="Mute acoustic guitar").click()
    page.get_by_label("Volume of the trumpet").fill("0")
    page.wait_for_function(RIGHT_ALONE)
    page.get_by_role("button", name="Pause").click()
    stopped = page.evaluate("duetto.player.time")
    page.wait_for_timeout(300)
    assert page.evaluate("duetto.player.time") == pytest.approx(stopped, abs=0.05)


def test_seeking_moves_all_three(page: Page) -> None:
    page.get_by_label("Position").fill("8")
    everywhere = "() => [...['left', 'right'].map(side => duetto.player.sides[side].sound), duetto.player.film]"
    page.wait_for_function(f"() => ({everywhere})().every(element => Math.abs(element.currentTime - 8) < 0.1)")
    wave = page.locator(".track.right .wave")
    box = wave.bounding_box()
    assert box is not None
    wave.click(position={"x": box["width"] / 4, "y": box["height"] / 2})
    page.wait_for_function("() => Math.abs(duetto.player.time - duetto.player.length / 4) < 0.2")
    page.locator("#result").focus()
    page.keyboard.press("1")
    expect(page.get_by_role("button", name="Solo trumpet")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("0")
    expect(page.get_by_role("button", name="Solo trumpet")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Space")
    page.wait_for_function("() => duetto.player.playing && duetto.player.time > duetto.player.length / 4 + 0.5")


def test_keys_work_for_whoever_has_just_pressed_a_button(page: Page) -> None:
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(PLAYING.format(0.2))
    page.keyboard.press("2")
    expect(page.get_by_role("button", name="Solo acoustic guitar")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(PLAYING.format(5))
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play")).to_be_focused()
    assert not page.evaluate("duetto.player.playing"), "the button took the key, and nobody else did"
    position = page.get_by_label("Position")
    position.fill("8")
    position.press("ArrowLeft")
    page.wait_for_function("() => duetto.player.time > 7")
    position.press("0")
    expect(page.get_by_role("button", name="Solo acoustic guitar")).to_have_attribute("aria-pressed", "false")


def test_a_label_is_corrected_without_sending_the_video_again(page: Page, separated: Separated, stack: Stack) -> None:
    posted: list[int] = []
    page.on("request", lambda sent: posted.append(len(sent.post_data_buffer or b"")) if sent.method == "POST" else None)
    page.locator(".player.left summary").click()
    expect(page.get_by_role("button", name="It is an acoustic guitar: run again")).to_have_text(re.compile("swap both"))
    page.get_by_role("button", name="It is a saxophone: run again").click()
    expect(page.locator("#result-title")).to_have_text("Saxophone & acoustic guitar")
    again = id_of(page)
    assert again != separated.id
    options = api(stack, f"/v1/jobs/{again}")["options"]
    assert (options["left"], options["right"]) == ("saxophone", "acoustic_guitar")
    expect(page.locator(".player.left")).to_contain_text("named by you")
    expect(page.locator(".mark.left")).to_have_text("Saxophone")
    assert len(posted) == 1
    assert posted[0] < 2_000
    # Both are in the list, and still after a reload; one is deleted.
    page.reload()
    expect(page.locator("#jobs li")).to_have_count(2)
    expect(page.locator("#jobs a[aria-current=page]")).to_have_attribute("href", f"#{again}")
    page.once("dialog", lambda asked: asked.dismiss())
    page.get_by_role("button", name="Delete Saxophone & acoustic guitar").click()
    expect(page.locator("#jobs li")).to_have_count(2)
    page.once("dialog", lambda asked: asked.accept())
    page.get_by_role("button", name="Delete Saxophone & acoustic guitar").click()
    expect(page.locator("#jobs li")).to_have_count(1)
    expect(page.locator("#new")).to_be_visible()
    assert api(stack, f"/v1/jobs/{again}")["code"] == "job_not_found"
    page.locator("#jobs a").click()
    expect(page.locator("#result-title")).to_have_text("Trumpet & acoustic guitar")


def test_downloads(page: Page, separated: Separated, stack: Stack) -> None:
    for name, path, wanted in (
        ("Download the trumpet", "stems/left.wav", "left_trumpet.wav"),
        ("Download both", "stems.zip", "duet.zip"),
    ):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert download.value.suggested_filename in (wanted, path.rpartition("/")[2])
        size = int(httpx.head(f"{stack.url}/v1/jobs/{separated.id}/{path}", trust_env=False).headers["Content-Length"])
        assert Path(download.value.path()).stat().st_size == size


def test_pictures_with_a_recording(browser: Browser, stack: Stack, tmp_path: Path) -> None:
    pictures = [tmp_path / f"{number}.png" for number in (1, 2, 10)]
    for number, picture in enumerate(pictures):
        picture.write_bytes(image_bytes(number))
    sound = write_wav(tmp_path / "duo.wav", noise(2, 2 * 44_100), 44_100)
    with Visit(browser, stack.url) as page:
        page.goto("/")
        page.set_input_files("#files", pictures)
        expect(page.locator("#form-problem")).to_contain_text("choose them together with the recording")
        page.set_input_files("#files", [pictures[2], sound, *pictures[:2]])
        expect(page.locator("#chosen")).to_have_text("3 pictures and duo.wav")
        page.select_option("#left", "flute")
        page.select_option("#right", "cello")
        page.select_option("#format", "mp3")
        page.click("#send")
        expect(page.locator("#result-title")).to_have_text("Flute & cello")
        expect(page.locator(".film")).to_have_count(0)
        page.get_by_role("button", name="Play").click()
        page.wait_for_function(PLAYING.format(0.5))
        job = api(stack, f"/v1/jobs/{id_of(page)}")
        assert (job["input"], job["options"]["format"]) == ({"kind": "frames", "title": "duo.wav"}, "mp3")


def test_canceling(browser: Browser, stack: Stack) -> None:
    with httpx.Client(base_url=stack.url, trust_env=False, timeout=60) as http, Visit(browser, stack.url) as page:
        # Both workers are busy, so that nothing is done before it can be canceled.
        busy = [http.post("/v1/jobs", files={"video": EXAMPLE.read_bytes()}).headers["Location"] for _ in range(2)]
        send(page, EXAMPLE)
        page.wait_for_url(re.compile(r"#[0-9a-f]{32}$"))
        page.click("#cancel")
        expect(page.locator("#failure-title")).to_have_text("Canceled")
        assert http.get(f"/v1/jobs/{id_of(page)}").json()["state"] == "canceled"
        expect(page.get_by_role("button", name="Try once more")).to_be_visible()
        expect(page.locator("#jobs li")).to_contain_text("canceled")
        for location in busy:
            http.delete(location)


def test_a_broken_file_is_told_in_plain_words(browser: Browser, stack: Stack, tmp_path: Path) -> None:
    broken, text = tmp_path / "broken.mp4", tmp_path / "notes.mp4"
    broken.write_bytes(EXAMPLE.read_bytes()[:20_000])
    text.write_text("These are notes about a duet, and no video of one. " * 9)
    with Visit(browser, stack.url) as page:
        send(page, broken)
        expect(page.locator("#failure")).to_be_visible()
        shown = page.inner_text("#failure-text")
        assert shown == api(stack, f"/v1/jobs/{id_of(page)}")["error"]["message"]
        assert "Traceback" not in shown
        page.get_by_role("button", name="Send another").click()
        page.set_input_files("#files", text)
        page.click("#send")
        expect(page.locator("#form-problem")).to_contain_text("is not a video: mp4, mov, webm, mkv or avi")
        page.set_input_files("#files", [])
        page.click("#send")
        expect(page.locator("#form-problem")).to_have_text("Choose the video of a duet first.")


def test_nothing_jumps(browser: Browser, stack: Stack, separated: Separated) -> None:
    with Visit(browser, stack.url, viewport={"width": 1024, "height": 900}) as page:
        page.goto(f"/#{separated.id}")
        page.wait_for_selector("#result:not([hidden])")
        page.wait_for_function("() => duetto.player.film.readyState >= 2")
        shift = page.evaluate("""() => new Promise(done => new PerformanceObserver(list => done(list.getEntries()
            .filter(entry => !entry.hadRecentInput).reduce((sum, entry) => sum + entry.value, 0)))
            .observe({type: "layout-shift", buffered: true}) || setTimeout(() => done(0), 500))""")
        assert shift < 0.1  # what web.dev calls good
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_json_of_the_list_survives_nonsense(browser: Browser, stack: Stack) -> None:
    with Visit(browser, stack.url) as page:
        page.goto("/")
        page.evaluate(
            "text => localStorage.setItem('duetto-jobs', text)",
            json.dumps([{"id": "0" * 32, "title": "gone", "at": 0}]),
        )
        page.reload()
        expect(page.locator("#jobs li")).to_have_count(0)
        page.evaluate("localStorage.setItem('duetto-jobs', '{')")
        page.reload()
        expect(page.locator("#jobs-empty")).to_be_visible()
