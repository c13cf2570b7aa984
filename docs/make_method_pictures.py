"""Draw the pictures of docs/method.md from the example duet: ``python docs/make_method_pictures.py``."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from app.jobs.record import JobOptions
from app.settings import Settings
from models import get_separator, separate
from models.pictures.picture import FAINT, INK, LEFT, NIGHT, PAPER, RIGHT, Plot
from models.pictures.sheet import Sheet
from models.pictures.spectrogram import PLOT, Levels, SpectrogramStream, spectrogram
from models.pictures.time_axis import draw_time_axis
from worker.engines import Engines
from worker.example_duet import example_duet
from worker.media.limits import MediaLimits
from worker.pipeline import run_pipeline
from worker.source import Source

PICTURES = Path(__file__).resolve().parent / "pictures"
PLAYERS = ("trumpet", "acoustic_guitar")
PANEL = 200
SEPARATORS = {
    "report": "report: spectra of the report's choice, exact mask",
    "nmf": "nmf: spectra chosen for coverage, fitted to the recording",
    "learned": "learned: the network has moved the mask of nmf",
}


def job_pictures() -> None:
    """What a job of the example draws: its frame, probabilities and spectrograms."""
    with tempfile.TemporaryDirectory() as folder:
        engines = Engines(Settings(tagger="efficientnet-lite2", offline=True))
        source = Source(video=example_duet().video)
        result = run_pipeline(source, Path(folder), JobOptions(), engines, MediaLimits(), pictures=True)
        for picture in result["pictures"]:
            name = f"{picture['name']}.png"
            (PICTURES / f"method-{name}").write_bytes((Path(folder) / name).read_bytes())


def levels_of(mix: NDArray[np.float32], rate: int, name: str) -> Levels:
    """What one separator makes of the recording."""
    stems = separate(mix, rate, get_separator(name), *PLAYERS)
    stream = SpectrogramStream(rate, 1, mix.shape[1] / rate)
    stream.add(*stems)
    return stream.finish()


def owners(levels: Levels) -> NDArray[np.uint8]:
    """Each point in the colour of who has it, as bright as it is loud: (height, width, 3)."""
    mix, left, right = (spectrogram(signal, PLOT.width, PANEL)[..., None] for signal in levels.decibels)
    left_power, right_power = (10.0 ** (7.0 * (one - 1.0)) for one in (left, right))  # the ramp spans 70 dB
    share = left_power / (left_power + right_power)
    colour = share * np.array(LEFT) + (1.0 - share) * np.array(RIGHT)
    return np.asarray(np.round(colour * mix + np.array(PAPER) * (1.0 - mix)), dtype=np.uint8)


def draw_owners() -> None:
    """Who has which point of the spectrogram, by each separator."""
    parts = [soundfile.read(path, dtype="float32")[0] for path in (example_duet().left, example_duet().right)]
    rate = soundfile.info(example_duet().left).samplerate
    mix = np.sum(parts, axis=0)[None].astype(np.float32)
    sheet = Sheet(1000, 44 + len(SEPARATORS) * (PANEL + 34) + 32, NIGHT)
    sheet.text((PLOT.left, 22), "trumpet", colour=LEFT, size=20)
    sheet.text((PLOT.left + 82, 22), "or", size=20)
    sheet.text((PLOT.left + 110, 22), "guitar", colour=RIGHT, size=20)
    for row, (name, title) in enumerate(SEPARATORS.items()):
        top = 44 + row * (PANEL + 34)
        levels = levels_of(mix, rate, name)
        sheet.text((PLOT.left, top + 15), title, size=17)
        sheet.paste(owners(levels), PLOT.left, top + 30)
        sheet.frame(PLOT.left - 1, top + 29, PLOT.left + PLOT.width, top + 30 + PANEL, FAINT)
        sheet.text((PLOT.left - 12, top + 38), "16 kHz", "rm", INK, 17)
        sheet.text((PLOT.left - 12, top + 22 + PANEL), "50 Hz", "rm", INK, 17)
        bottom = top + 30
    draw_time_axis(sheet, Plot(PLOT.left, bottom, PLOT.width, PANEL), levels.duration_s)
    with Image.open(io.BytesIO(sheet.photo_png())) as image:
        image.save(PICTURES / "method-owners.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    job_pictures()
    draw_owners()
