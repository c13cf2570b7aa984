"""Pictures of a separation: what is bright is what sounds, what is written is what is there."""

from __future__ import annotations

import io
import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.instruments import NAMES
from models.pictures import (
    Picture,
    Plot,
    SpectrogramStream,
    draw_probabilities,
    draw_scene,
    draw_spectrograms,
)
from models.pictures.picture import LEFT, RIGHT, clock
from models.pictures.spectrogram import FLOOR_DB, Levels
from models.pictures.time_axis import time_step_s
from models.players.bars import Box
from tests.unit.signals import noise

RATE = 44_100


def tone(hertz: float, seconds: float, rate: int = RATE, channels: int = 1, level: float = 0.5) -> NDArray[np.float32]:
    """A sine (channels, samples)."""
    wave = level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


def levels_of(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    rate: int = RATE,
    expected_s: float | None = None,
    piece: int = 50_000,
) -> Levels:
    stream = SpectrogramStream(rate, left.shape[0], expected_s or left.shape[1] / rate)
    for start in range(0, left.shape[1], piece):
        stream.add(left[:, start : start + piece], right[:, start : start + piece])
    return stream.finish()


def pixels(picture: Picture) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(picture.png)) as image:
        assert (image.format, image.size) == ("PNG", (picture.width, picture.height))
        return np.asarray(image.convert("RGB")).astype(np.int64)


def plotted(picture: Picture) -> NDArray[np.int64]:
    plot = picture.plot
    assert plot is not None
    return pixels(picture)[plot.top : plot.top + plot.height, plot.left : plot.left + plot.width]


def count_of(colour: tuple[int, int, int], image: NDArray[np.int64]) -> int:
    return int((np.abs(image - colour).sum(axis=-1) < 12).sum())


@pytest.mark.parametrize("hertz", [80.0, 440.0, 6_000.0])
@pytest.mark.parametrize("rate", [16_000, 44_100, 96_000])
def test_the_row_of_a_tone_is_the_brightest(hertz: float, rate: int) -> None:
    left = tone(hertz, 2.0, rate)
    levels = levels_of(left, np.zeros_like(left), rate)
    row = int(levels.decibels[1].mean(axis=1).argmax())
    middle = np.sqrt(levels.edges_hz[row] * levels.edges_hz[row + 1])
    assert middle == pytest.approx(hertz, abs=rate / 4096 + hertz * 0.02)
    picture = draw_spectrograms(levels, "flute", "cello")[1]
    brightest = plotted(picture).sum(axis=(1, 2)).argmax()
    assert brightest == pytest.approx(len(levels.edges_hz) - 2 - row, abs=1)


def test_mix_left_and_right_share_one_scale() -> None:
    left, right = tone(500.0, 3.0), tone(2_000.0, 3.0, level=0.05)
    mix_db, left_db, right_db = levels_of(left, right).decibels
    assert mix_db.max() == 0.0
    assert left_db.max() == pytest.approx(0.0, abs=0.1)
    assert right_db.max() == pytest.approx(-20.0, abs=2.5)  # a tone between two bins is weaker in both
    # The recording has what both have.
    louder = np.maximum(left_db, right_db)
    heard = louder > -30.0
    assert mix_db[heard] == pytest.approx(louder[heard], abs=1.0)


def test_stems_in_opposite_phase_do_not_sound_in_the_mix() -> None:
    left = tone(500.0, 1.0, channels=2)
    mix_db, left_db, _ = levels_of(left, -left * 0.99).decibels
    assert left_db.max() - mix_db.max() == pytest.approx(40.0, abs=0.5)


def test_what_is_drawn_does_not_depend_on_the_pieces() -> None:
    left, right = noise(2, 100_000, seed=1), noise(2, 100_000, seed=2)
    one, other = levels_of(left, right, piece=100_000), levels_of(left, right, piece=777)
    assert one.decibels == pytest.approx(other.decibels, abs=1e-3)
    assert one.duration_s == other.duration_s == pytest.approx(100_000 / RATE)


@pytest.mark.parametrize("expected_s", [0.5, 4.0, 4_000.0])
def test_a_note_is_where_it_is_played_whatever_was_expected(expected_s: float) -> None:
    left = np.concatenate([np.zeros((1, 2 * RATE), np.float32), tone(440.0, 1.0), np.zeros((1, RATE), np.float32)], 1)
    levels = levels_of(left, np.zeros_like(left), expected_s=expected_s)
    assert levels.duration_s == 4.0
    columns = levels.decibels.shape[2]
    assert columns <= 2_000
    sounding = np.flatnonzero(levels.decibels[1].max(axis=0) > -20.0)
    if expected_s < 100:
        assert sounding[0] / columns == pytest.approx(0.5, abs=0.03)
        assert sounding[-1] / columns == pytest.approx(0.75, abs=0.03)
    else:  # one column
        assert len(sounding) == columns == 1


def test_a_longer_recording_takes_no_more_memory() -> None:
    left, right = noise(1, 5 * RATE, seed=1), noise(1, 5 * RATE, seed=2)

    def peak_of(pieces: int) -> int:
        stream = SpectrogramStream(RATE, 1, 5.0)
        tracemalloc.start()
        for _ in range(pieces):
            stream.add(left, right)
        stream.finish()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_of(20) < 1.25 * peak_of(4)


def test_a_header_that_lies_costs_no_memory() -> None:
    tracemalloc.start()
    levels = levels_of(noise(2, RATE), noise(2, RATE, seed=1), expected_s=1e12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert levels.decibels.shape[2] == 1
    assert peak < 64 << 20


def test_silence_can_be_drawn_and_is_called_that() -> None:
    silent = np.zeros((1, RATE), np.float32)
    for picture in draw_spectrograms(levels_of(silent, silent), "flute", "cello")[1:]:
        assert picture.alt.startswith("Spectrogram of the ")
    quiet = draw_spectrograms(levels_of(tone(440.0, 1.0), silent), "flute", "cello")[2]
    assert "Nothing is heard in it." in quiet.alt
    # The darkest colour everywhere, but for the frame's edge.
    assert plotted(quiet).std(axis=(0, 1)).max() < 1.0


@pytest.mark.parametrize("samples", [1, 100, 5_000])
def test_the_shortest_recordings_can_be_drawn(samples: int) -> None:
    left = noise(1, samples, seed=3)
    assert len(draw_spectrograms(levels_of(left, left), "flute", "cello")) == 3


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        SpectrogramStream(RATE, 1, 1.0).finish()


def test_the_words_say_what_is_to_be_seen() -> None:
    left = np.concatenate([tone(880.0, 2.0), np.zeros((1, 2 * RATE), np.float32)], axis=1)
    mix, of_left, of_right = draw_spectrograms(levels_of(left, np.zeros_like(left)), "flute", "acoustic_guitar")
    assert [one.name for one in (mix, of_left, of_right)] == ["mix", "left", "right"]
    assert of_left.alt.startswith("Spectrogram of the left stem, flute, 0:04 long.")
    assert re.search(r"around 8[678]\d Hz", of_left.alt)
    assert "sounds for 5" in of_left.alt  # 51 % or so
    assert "acoustic guitar" in of_right.alt
    assert count_of(LEFT, pixels(of_left)) > 20, "the title is in the player's colour"
    assert count_of(RIGHT, pixels(of_right)) > 20
    assert of_left.plot == Plot(84, 44, 892, 232)


def test_the_same_sound_gives_the_same_bytes() -> None:
    left, right = noise(1, RATE, seed=1), noise(1, RATE, seed=2)
    first, again = (draw_spectrograms(levels_of(left, right), "flute", "cello") for _ in range(2))
    assert [one.png for one in first] == [one.png for one in again]


def shares(frames: int, name: str, probability: float) -> NDArray[np.float32]:
    found = np.full((frames, 8), (1.0 - probability) / 7, np.float32)
    found[:, NAMES.index(name)] = probability
    return found


def test_a_probable_instrument_has_a_bright_row() -> None:
    times = [0.0, 2.0, 4.0, 6.0]
    picture = draw_probabilities(times, (shares(4, "cello", 0.9), shares(4, "violin", 0.8)), ("cello", "violin"), 8.0)
    shown = plotted(picture).sum(axis=-1)
    rows = shown[: shown.shape[0] // 2 - 30].mean(axis=1)
    assert rows.argmax() // 22 == NAMES.index("cello")
    assert picture.alt.startswith("How probable each of the eight instruments is in 4 frames from 0:00 to 0:06.")
    assert "On the left: cello 0.90 on average, then" in picture.alt
    assert "On the right: violin 0.80 on average" in picture.alt


def test_a_cell_is_where_its_frame_is_shown() -> None:
    left = shares(2, "flute", 0.0)
    left[1, NAMES.index("flute")] = 1.0
    picture = draw_probabilities([0.0, 8.0], (left, shares(2, "cello", 0.5)), ("flute", "cello"), 10.0)
    row = plotted(picture)[NAMES.index("flute") * 22 + 11].sum(axis=-1)
    bright = np.flatnonzero(row > 500) / len(row)
    assert bright.min() == pytest.approx(0.4, abs=0.01)  # half way between the two frames
    assert bright.max() == pytest.approx(1.0, abs=0.01)


def test_what_was_decided_against_the_picture_is_said() -> None:
    seen = shares(1, "cello", 0.9)
    picture = draw_probabilities([0.5], (seen, seen), ("violin", "cello"), 1.0)
    assert "in one frame. On the left: cello 0.90" in picture.alt
    assert "; taken for violin in the end." in picture.alt
    assert picture.alt.count("in the end") == 1


def test_rows_must_fit_the_frames() -> None:
    with pytest.raises(ValueError, match="a row of 8 for each of 3 frames"):
        draw_probabilities([0, 1, 2], (shares(2, "cello", 0.5), shares(3, "cello", 0.5)), ("cello", "flute"), 3.0)
    with pytest.raises(ValueError, match="one frame at least"):
        draw_probabilities([], (shares(0, "cello", 0.5), shares(0, "cello", 0.5)), ("cello", "flute"), 3.0)


GREY = np.full((360, 640, 3), 128, np.uint8)
BOXES = (Box(0.1, 0.2, 0.4, 0.9), Box(0.6, 0.0, 1.0, 1.0))


def test_boxes_and_cut_are_where_they_were_seen() -> None:
    picture = draw_scene(GREY, 5.2, ("trumpet", "acoustic_guitar"), 0.5, BOXES)
    shown = pixels(picture)
    assert shown.shape == (450, 800, 3)
    assert picture.plot is None
    assert count_of(LEFT, shown[:, 80:84]) > 200, "the left edge of the left box"
    assert count_of(LEFT, shown[:, 316:320]) > 200
    assert count_of(LEFT, shown[:, 330:]) == 0
    assert count_of(RIGHT, shown[:, 480:484]) > 200
    assert count_of(RIGHT, shown[:, :470]) == 0
    assert np.abs(shown[:, 396:404].max(axis=(1, 2)) - 240).max() < 5, "a bright line where it is cut"
    assert picture.alt == (
        "The frame at 0:05, cut at 50% of its width. On the left: trumpet, seen from 10% to 40% of the width and "
        "from 20% to 90% of the height. On the right: acoustic guitar, seen from 60% to 100% of the width and from 0% "
        "to 100% of the height."
    )


def test_a_frame_without_boxes_has_names_all_the_same() -> None:
    picture = draw_scene(GREY, 0.0, ("trumpet", "cello"))
    shown = pixels(picture)
    assert count_of(LEFT, shown[:40, :400]) > 20
    assert count_of(RIGHT, shown[:40, 400:]) > 20
    assert picture.alt == "The frame at 0:00, cut at 50% of its width. On the left: trumpet. On the right: cello."


@pytest.mark.parametrize("size", [(8, 8), (8, 1280), (1280, 8), (720, 1280), (1280, 405)])
def test_a_frame_of_any_shape_fits(size: tuple[int, int]) -> None:
    picture = draw_scene(np.full((*size, 3), 90, np.uint8), 0.0, ("acoustic_guitar", "xylophone"), 0.3, BOXES)
    shown = pixels(picture)
    assert picture.width >= 360
    assert picture.height <= 600
    assert count_of(RIGHT, shown) > 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00"), (59.6, "1:00"), (187.0, "3:07"), (3_599.9, "1:00:00"), (7_265.0, "2:01:05")]
)
def test_times_as_people_write_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize("duration_s", [0.2, 1.0, 14.0, 300.0, 7_200.0, 40_000.0])
def test_marks_on_the_time_axis_stand_apart(duration_s: float) -> None:
    step = time_step_s(duration_s, 892)
    assert 100 <= 892 * step / duration_s <= 300 or step == 0.1


def test_levels_below_the_floor_are_as_dark_as_it() -> None:
    left = tone(440.0, 1.0)
    levels = levels_of(left, np.zeros_like(left))
    deeper = replace(levels, decibels=np.where(levels.decibels < FLOOR_DB, -500.0, levels.decibels).astype(np.float32))
    assert draw_spectrograms(levels, "flute", "cello")[1].png == draw_spectrograms(deeper, "flute", "cello")[1].png
