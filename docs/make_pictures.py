"""Draw docs/pictures/example.jpg from a run of the example.

``duetto demo && python docs/make_pictures.py duetto-demo``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.stft import magnitude
from worker.example_duet import example_duet
from worker.media.frames import video_frames
from worker.media.limits import MediaLimits

WIDTH, PANEL_HEIGHT, GAP, MARGIN, TITLE = 1080, 200, 18, 24, 30
TOP_HZ, FLOOR_DB = 8_000.0, -70.0
INK, PAPER = (35, 38, 52), (250, 250, 248)
# Dark blue over magenta to pale yellow: readable in grey and by the colour-blind.
STOPS = np.array([(12, 10, 38), (87, 22, 110), (187, 55, 84), (249, 142, 9), (252, 255, 200)], np.float64)


def spectrogram(sound: NDArray[np.float32], rate: int, reference: float, width: int) -> Image.Image:
    """A spectrogram, `width` pixels wide, up to 8 kHz, over 70 dB below `reference`."""
    V = magnitude(sound, rate)
    V = V[: int(TOP_HZ / (rate / 2) * V.shape[0])]
    decibels = 20 * np.log10(np.maximum(V, 1e-9) / reference)
    level = np.clip(1 - decibels / FLOOR_DB, 0, 1)[::-1]
    position = level * (len(STOPS) - 1)
    below = np.minimum(position.astype(int), len(STOPS) - 2)
    share = (position - below)[..., None]
    colours = STOPS[below] * (1 - share) + STOPS[below + 1] * share
    return Image.fromarray(colours.astype(np.uint8)).resize((width, PANEL_HEIGHT), Image.Resampling.BILINEAR)


def main(folder: Path, target: Path) -> None:
    """Compose the picture: the frame with its labels beside the mix, the two stems below."""
    labels = json.loads((folder / "result.json").read_text(encoding="utf-8"))["labels"]
    stems = {}
    for side in ("left", "right"):
        samples, rate = soundfile.read(folder / f"{side}.wav", dtype="float32", always_2d=True)
        stems[side] = samples.T
    mix = stems["left"] + stems["right"]
    reference = float(magnitude(mix, rate).max())
    frames = list(video_frames(example_duet().video, MediaLimits(), most=3))
    frame = Image.fromarray(frames[len(frames) // 2].image)
    frame = frame.resize((round(frame.width * PANEL_HEIGHT / frame.height), PANEL_HEIGHT), Image.Resampling.LANCZOS)

    row = TITLE + PANEL_HEIGHT + GAP
    sheet = Image.new("RGB", (WIDTH, MARGIN * 2 + 3 * row - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=19)

    def title(x: int, y: int, text: str) -> None:
        draw.text((x, y), text, INK, font=font)

    def named(side: str) -> str:
        return str(labels[side]["instrument"]).replace("_", " ")

    title(MARGIN, MARGIN, f"seen: {named('left')}, {named('right')}")
    sheet.paste(frame, (MARGIN, MARGIN + TITLE))
    x = MARGIN * 2 + frame.width
    title(x, MARGIN, "heard: the duet, 0 to 8 kHz")
    sheet.paste(spectrogram(mix, rate, reference, WIDTH - MARGIN - x), (x, MARGIN + TITLE))
    for k, side in enumerate(("left", "right"), start=1):
        y = MARGIN + k * row
        title(MARGIN, y, f"{side}.wav: {named(side)}")
        sheet.paste(spectrogram(stems[side], rate, reference, WIDTH - 2 * MARGIN), (MARGIN, y + TITLE))
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, quality=88, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent / "pictures" / "example.jpg")
