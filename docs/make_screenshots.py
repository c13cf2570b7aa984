"""Takes the screenshots of the page, docs/pictures/page-*.png: the example duet, separated by a service of its own.

    python docs/make_screenshots.py

Needs what the browser tests need: the `dev` packages and a Chromium. `--font Inter` shows the page in that font, as a
machine would whose own it is; without it, in what this machine calls its system's font.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from app.settings import Settings
from app.stack import running_stack

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
SIZES = {390: 1500, 1024: 1000, 1600: 1000}  # width to height, pixels
FLAGS = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required")
COLOURS = 256
AT_S = 5.0
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include>/etc/fonts/fonts.conf</include>{}</fontconfig>"""
ALIAS = (
    '<match target="pattern"><test name="family"><string>{}</string></test>'
    '<edit name="family" mode="prepend" binding="strong"><string>{}</string></edit></match>'
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--font", help="what to take for the system's font")
    font = parser.parse_args().font
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        environment: dict[str, str | float | bool] = dict(os.environ)
        if font:
            aliases = "".join(
                ALIAS.format(family, font) for family in ("system-ui", "sans", "sans-serif", "DejaVu Sans")
            )
            (folder / "fonts.conf").write_text(FONTS.format(aliases), encoding="utf-8")
            environment["FONTCONFIG_FILE"] = str(folder / "fonts.conf")
        settings = Settings(data_dir=folder / "data", cache_dir=folder / "cache", port=0, redis_url=None, offline=True)
        with running_stack(settings) as stack:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS), env=environment)
            address, kept = separate(browser, stack.url)
            for width, height in SIZES.items():
                for theme in ("light", "dark"):
                    take(browser, address, kept, width, height, theme)
            browser.close()


def separate(browser: Browser, url: str) -> tuple[str, str]:
    """Send the example duet. Return where its result is, and what the browser keeps of it."""
    page = browser.new_page()
    page.goto(url)
    page.set_input_files("#files", ROOT / "examples" / "duet.mp4")
    page.click("#send")
    page.wait_for_selector("#result:not([hidden])", timeout=300_000)
    return page.url, page.evaluate("localStorage.getItem('duetto-jobs')")


def take(browser: Browser, address: str, kept: str, width: int, height: int, theme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if theme == "dark" else "light"
    )
    context.add_init_script(f"localStorage.setItem('duetto-jobs', {kept!r})")
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#result:not([hidden])")
    page.evaluate(f"duetto.player.seek({AT_S})")
    page.wait_for_function("() => !duetto.player.film.seeking && duetto.player.film.readyState >= 2")
    page.wait_for_timeout(500)  # the film's picture is drawn some frames after it is there
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    target = FOLDER / f"page-{width}-{theme}.png"
    # Pillow dithers only towards a palette that it is given.
    palette = picture.quantize(COLOURS, kmeans=1)
    picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(target, optimize=True)
    print(target.relative_to(ROOT), target.stat().st_size)  # noqa: T201 - a script
    context.close()


if __name__ == "__main__":
    main()
