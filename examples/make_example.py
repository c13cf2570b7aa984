"""Make the example duet: duet.mp4, its true stems duet_left.wav and duet_right.wav.

Run by hand, from anywhere, in an environment with Duetto's dependencies, on Debian or Ubuntu::

    python examples/make_example.py [--cache DIR] [--out DIR]

The same packages and the same versions of the encoders give the same bytes. Where each part comes from and
under which licence: LICENSE.md, beside the files.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The script is no part of an installed package: its steps lie beside it, the eight instruments one folder up.
sys.path[:0] = [str(HERE), str(HERE.parent)]

from making import check, film, pictures, sources, tune  # noqa: E402
from making.errors import ExampleError  # noqa: E402

log = logging.getLogger("make_example")

LEFT, RIGHT = "trumpet", "acoustic_guitar"
TRUMPET_PHOTO = f"{sources.STAMPS_FOLDER}/brass/trumpet.png"
GUITAR_PHOTO = f"{sources.STAMPS_FOLDER}/string/guitar_classical.png"


def main(argv: list[str] | None = None) -> int:
    """Make the example; return 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(description="Make the example duet and its true stems.")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "duetto" / "example")
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        make(options.cache.expanduser(), options.out)
    except ExampleError as error:
        log.error("%s", error)  # noqa: TRY400 - the reason is for the user, a traceback is not
        return 1
    return 0


def make(cache: Path, out: Path) -> None:
    """Fetch what is missing into `cache`, make the three files, check them, then put them into `out`.

    Raises
    ------
    ExampleError
        If a source cannot be had or a check fails; `out` is then as it was.
    """
    soundfont = sources.debian_files(sources.SOUNDFONT_PACKAGE, [sources.SOUNDFONT_FILE], cache)[0]
    photos = sources.debian_files(sources.STAMPS_PACKAGE, [TRUMPET_PHOTO, GUITAR_PHOTO], cache)
    synthesizer = sources.renderer(cache)

    left, right = tune.balance(
        tune.render(synthesizer, soundfont, tune.TRUMPET_PROGRAM, tune.trumpet()),
        tune.render(synthesizer, soundfont, tune.GUITAR_PROGRAM, tune.guitar()),
    )
    mix = left + right
    count = math.ceil(tune.SAMPLES * pictures.FRAME_RATE / tune.SAMPLE_RATE)
    levels = [pictures.levels(stem, tune.SAMPLE_RATE, count) for stem in (left, right)]
    players = _players(photos)

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        made = Path(scratch)
        film.write_wav(made / "duet_left.wav", left, tune.SAMPLE_RATE)
        film.write_wav(made / "duet_right.wav", right, tune.SAMPLE_RATE)
        film.write_mp4(
            made / "duet.mp4",
            pictures.frames(players, levels),
            (pictures.WIDTH, pictures.HEIGHT),
            pictures.FRAME_RATE,
            mix,
            tune.SAMPLE_RATE,
        )
        ratio = check.check_sound(film.read_sound(made / "duet.mp4"), mix)
        log.info("sound: in line with left + right, %.1f dB", ratio)
        margin = check.check_labels(film.read_pictures(made / "duet.mp4"), LEFT, RIGHT)
        log.info("pictures: %s left, %s right, in all %d frames by %.2f or more", LEFT, RIGHT, count, margin)
        for path in sorted(made.iterdir()):
            log.info("%s: %d bytes", path.name, path.stat().st_size)
            path.replace(out / path.name)


def _players(photos: list[Path]) -> list[pictures.Player]:
    return [
        pictures.Player(photos[0], 0.9, 0.07, 0.0, 4.0, centre=(226, 208, 214), edge=(112, 66, 92)),
        pictures.Player(photos[1], 1.02, 0.07, -10.0, 3.0, centre=(200, 218, 226), edge=(48, 84, 112)),
    ]


if __name__ == "__main__":
    sys.exit(main())
