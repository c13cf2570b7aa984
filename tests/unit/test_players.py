"""Who plays where by the picture, on hard frames: cut anywhere, boxed, upright, in several shots."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.duet import Step
from models.errors import InvalidPicture, Stopped
from models.hearing import Heard
from models.instruments import NAMES
from models.players import label_players
from models.players.bars import WHOLE, Box, content_box
from models.players.fused import FIRST_FRAMES
from models.players.seams import BINS, seam_profile
from models.players.shots import shot_of, thumbnail
from models.taggers import SceneTagger, load_tagger
from tests.hard_frames import HEIGHT, LEFT, RIGHT, WIDTH, Frame, beside, boxed, closeup, fitted, halves


@pytest.fixture(scope="module")
def tagger() -> SceneTagger:
    return load_tagger("efficientnet-lite2", offline=True)


def heard(**log_odds: float) -> Heard:
    """What would have been heard; an instrument not named is as likely as not."""
    return Heard(np.array([log_odds.get(name, 0.0) for name in NAMES]))


def frames_of(kind: str) -> tuple[list[Frame], float | None]:
    """Hard frames, and where their players meet, if it is in one place."""
    shown = halves()[:2]
    if kind == "letterbox":
        return [boxed(beside(*pair, 0.35), 0.2) for pair in shown], 0.35
    if kind == "pillarbox":
        return [boxed(beside(*pair, 0.6, 360, 640), 0.3, upright=True) for pair in shown], 0.3 + 0.4 * 0.6
    if kind == "vertical":
        return [beside(*pair, 0.5, 360, 640) for pair in shown], 0.5
    if kind == "vertical, off centre":
        return [beside(*pair, 0.35, 360, 640) for pair in shown], 0.35
    cut = float(kind)
    return [beside(*pair, cut) for pair in shown], cut


KINDS = ("0.2", "0.25", "0.3", "0.4", "0.5", "0.6", "0.7", "0.75", "0.8", "letterbox", "pillarbox", "vertical",
         "vertical, off centre")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_players_are_found_wherever_they_are(tagger: SceneTagger, kind: str) -> None:
    frames, cut = frames_of(kind)
    found = label_players(frames, None, tagger)
    assert (found.labels.left.instrument, found.labels.right.instrument) == (LEFT, RIGHT)
    assert (found.picture.left, found.picture.right) == (LEFT, RIGHT)
    assert found.labels.step is Step.PICTURE
    assert found.shots[0].cut == pytest.approx(cut, abs=0.03)
    left, right = found.shots[0].extents
    assert 0.0 <= left.left < left.right <= right.left + 1e-6 < right.right <= 1.0
    assert 0.0 <= left.top < left.bottom <= 1.0
    assert found.labels.left_probabilities.shape == (2, 8)


def test_each_shot_has_a_cut_of_its_own(tagger: SceneTagger) -> None:
    shown = halves()
    frames = [
        beside(*shown[0], 0.5), closeup(shown[1][1]), beside(*shown[2], 0.3), closeup(shown[3][0]),
        beside(*shown[4], 0.5), closeup(shown[5][1]),
    ]  # fmt: skip
    found = label_players(frames, None, tagger)
    assert (found.labels.left.instrument, found.labels.right.instrument) == (LEFT, RIGHT)
    assert len(found.shots) == 4
    assert sum(shot.share for shot in found.shots) == pytest.approx(1.0)
    cuts = [shot.cut for shot in found.shots]
    for true in (0.5, 0.3):
        assert min(abs(cut - true) for cut in cuts) < 0.02
    # Each names a frame that shows it.
    assert sorted(shot.frame for shot in found.shots) == [0, 1, 2, 3]
    assert all(shot.size == (WIDTH, HEIGHT) for shot in found.shots)


def test_extents_lie_around_the_instruments(tagger: SceneTagger) -> None:
    blank = fitted(np.full((360, 320, 3), (90, 110, 120), np.uint8), 320, 360)
    small = blank.copy()
    # The guitar in the lower right corner of the right half.
    guitar = np.asarray(Image.fromarray(halves()[0][1]).resize((160, 180), Image.Resampling.BICUBIC))
    small[180:, 160:] = guitar
    found = label_players([beside(halves()[0][0], small, 0.5)], None, tagger)
    box = found.shots[0].extents[1]
    assert (box.left + box.right) / 2 > 0.75
    assert (box.top + box.bottom) / 2 > 0.5


def test_the_sound_decides_where_the_picture_hesitates(tagger: SceneTagger) -> None:
    empty = np.full((360, 320, 3), (90, 110, 120), np.uint8)
    frames = [beside(empty, guitar, 0.5) for _, guitar in halves()[:2]]
    by_picture = label_players(frames, None, tagger)
    assert not by_picture.sure
    assert by_picture.warnings[0].startswith("It is not sure who plays")
    assert "name the instruments" in by_picture.warnings[0]
    both = label_players(frames, heard(violin=6.0, acoustic_guitar=6.0), tagger)
    assert (both.labels.left.instrument, both.labels.right.instrument) == ("violin", RIGHT)
    assert both.labels.step is Step.PICTURE_AND_SOUND
    assert both.fused.probability > by_picture.fused.probability
    # However sure the sound is, a picture as clear as this outvotes it.
    both = label_players(frames, heard(violin=30.0, flute=30.0), tagger)
    assert both.labels.right.instrument == RIGHT


def test_a_clear_picture_outvotes_a_faint_sound(tagger: SceneTagger) -> None:
    frames = [beside(*pair, 0.5) for pair in halves()[:2]]
    found = label_players(frames, heard(flute=1.0, cello=1.0), tagger)
    assert (found.labels.left.instrument, found.labels.right.instrument) == (LEFT, RIGHT)
    assert found.sure
    assert found.warnings == ()


def test_a_named_side_keeps_its_name(tagger: SceneTagger) -> None:
    frames = [beside(*pair, 0.5) for pair in halves()[:2]]
    found = label_players(frames, None, tagger, left="violin")
    assert (found.labels.left.instrument, found.labels.left.source) == ("violin", "request")
    assert (found.labels.right.instrument, found.labels.right.source) == (RIGHT, "tagger")
    # Its own best is taken: the other side gets the second.
    found = label_players(frames, None, tagger, left=RIGHT)
    assert found.labels.left.instrument == RIGHT
    assert found.labels.right.instrument != RIGHT
    with pytest.raises(ValueError, match="both sides are named violin"):
        label_players(frames, None, tagger, left="violin", right="violin")


def test_no_more_frames_are_read_than_change_anything(tagger: SceneTagger) -> None:
    read = []

    def frames() -> Iterator[NDArray[np.uint8]]:
        for number in range(200):
            read.append(number)
            yield beside(*halves()[number % 2], 0.5)

    seen: list[int] = []
    found = label_players(frames(), None, tagger, progress=seen.append)
    # One doubling shows that more frames change nothing.
    assert len(read) == len(found.labels.left_probabilities) == 2 * FIRST_FRAMES
    assert seen == [FIRST_FRAMES, 2 * FIRST_FRAMES]


def test_frames_are_looked_at_in_batches(tagger: SceneTagger, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    inner = tagger.class_maps

    def counted(scenes: NDArray[np.uint8]) -> NDArray[np.float32]:
        sizes.append(len(scenes))
        return inner(scenes)

    monkeypatch.setattr(tagger, "class_maps", counted)
    label_players([beside(*halves()[number % 2], 0.5) for number in range(8)], None, tagger)
    # Four frames, and twice the eight halves of four.
    assert sizes == [4, 8, 4, 8]


def test_more_frames_are_read_while_they_change_something(tagger: SceneTagger) -> None:
    one, other = (beside(*pair, 0.5) for pair in halves()[:2])
    swapped = np.ascontiguousarray(other[:, ::-1])
    # As many of either: the picture stays in doubt about the order.
    rounds = [one] * FIRST_FRAMES + [swapped] * (2 * FIRST_FRAMES) + [one] * (4 * FIRST_FRAMES)
    found = label_players(rounds, None, tagger, refuses=False)
    assert len(found.labels.left_probabilities) == 4 * FIRST_FRAMES


def test_what_is_no_picture_is_refused(tagger: SceneTagger) -> None:
    with pytest.raises(InvalidPicture, match="there is no frame to look at"):
        label_players([], None, tagger)
    with pytest.raises(InvalidPicture, match="8 pixels wide and high at least"):
        label_players([np.zeros((4, 4, 3), np.uint8)], None, tagger)


def test_it_stops_when_asked_to(tagger: SceneTagger) -> None:
    with pytest.raises(Stopped):
        label_players([beside(*halves()[0], 0.5)], None, tagger, should_stop=lambda: True)


def test_frames_of_any_shape_are_looked_at(tagger: SceneTagger) -> None:
    for height, width in ((8, 400), (400, 8), (31, 33)):
        frame = np.random.default_rng(1).integers(0, 255, (height, width, 3)).astype(np.uint8)
        assert label_players([frame], None, tagger, refuses=False).labels.left.instrument in NAMES


def test_a_seam_is_found_and_an_edge_in_the_picture_is_not() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(90, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    assert seam_profile(frame).max() < 0.3
    frame[:, 256:] //= 2
    profile = seam_profile(frame)
    assert abs(int(profile.argmax()) - 256 * BINS // WIDTH) <= 2
    assert profile.max() > 0.9
    # An edge over a third of the height.
    frame = rng.integers(90, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    frame[:120, 400:] //= 2
    assert seam_profile(frame).max() < 0.5
    assert seam_profile(frame[:, :30]).max() == 0.0


def test_bars_are_black_and_even() -> None:
    frame = beside(*halves()[0], 0.5)
    box = content_box([boxed(frame, 0.2)])
    assert (box.left, box.right) == (0.0, 1.0)
    assert (box.top, box.bottom) == (pytest.approx(0.2, abs=0.01), pytest.approx(0.8, abs=0.01))
    uneven = frame.copy()
    uneven[:, :200] = 0
    assert content_box([uneven]) == WHOLE
    assert content_box([np.zeros_like(frame)]) == WHOLE
    # What is bright in one of the frames is no bar.
    assert content_box([boxed(frame, 0.2), frame]) == WHOLE


def test_boxes_cut_and_nest() -> None:
    picture = np.arange(10 * 20 * 3, dtype=np.uint16).reshape(10, 20, 3).astype(np.uint8)
    np.testing.assert_array_equal(Box(0.5, 0.2, 1.0, 0.8).cut(picture), picture[2:8, 10:])
    assert Box(0.999, 0.999, 1.0, 1.0).cut(picture).shape == (1, 1, 3)
    assert Box(0.5, 0.0, 1.0, 0.5).within(Box(0.5, 0.5, 1.0, 1.0)) == Box(0.75, 0.25, 1.0, 0.5)


def test_a_view_that_comes_back_is_the_same_shot() -> None:
    views = [thumbnail(beside(*halves()[i], cut)) for i, cut in ((0, 0.5), (1, 0.3), (2, 0.5))]
    shots: list[NDArray[np.float32]] = []
    assert [shot_of(view, shots) for view in views] == [0, 1, 0]
