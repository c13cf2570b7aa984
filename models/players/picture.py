"""The picture's evidence: which instrument is on which side, gathered frame by frame.

For each shot a cut is found that parts the players (:mod:`models.players.sides`); the two sides are then looked at once
more, each as a picture of its own. Both looks count alike, every frame of every shot counts alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidPicture
from models.instruments import INSTRUMENTS
from models.players.bars import WHOLE, Box, content_box
from models.players.classes import OTHERS, of_the_eight, softmax
from models.players.extents import extent
from models.players.seams import seam_profile
from models.players.shots import shot_of, thumbnail
from models.players.sides import CUTS, best_cut, log_odds_of_cuts, log_shares, pairs_at_cuts, sides_of_cuts
from models.players.trios import Trio, best_trio
from models.taggers.protocol import SceneTagger

MISNAMED = 0.05
"""Share of pictures that the networks name wrong however sure they are (of 420 photos, by EfficientNet-Lite2)."""
_LEAST_SIDE = 8  # pixels
_BATCH = 8
_CLOSE_UP = 0.5  # nats by which one instrument fits a shot better than two
_FAINT = 0.1  # probability of any of the eight, below which a shot shows none
_OTHER_IDS = list(OTHERS)


@dataclass
class _Look:
    """One frame: what its columns say, and what its two sides say as pictures of their own at the shot's cut."""

    scene: NDArray[np.uint8]  # (height, width, 3)
    shot: int
    columns: NDArray[np.float32]  # (columns, 1000)
    maps: NDArray[np.float32]  # (rows, columns, 8)
    of_cuts: NDArray[np.float64]  # (cuts, 2, 8)
    cut: int = -1
    halves: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 1000)))  # probabilities of all classes


@dataclass(frozen=True)
class Shot:
    """One view of the players.

    Attributes
    ----------
    share : float
        Of the frames.
    frame : int
        One that shows it, by its place in the order in which frames were looked at.
    size : (int, int) [pixels]
        Its width and height.
    cut : float
        Where the players part, as a fraction of the frame's width.
    extents : (Box, Box)
        What each player's instrument takes up.
    """

    share: float
    frame: int
    size: tuple[int, int]
    cut: float
    extents: tuple[Box, Box]


class PictureEvidence:
    """Gathers what frames show. Frames may come in any order; all must have one size."""

    def __init__(self, tagger: SceneTagger) -> None:
        self._tagger = tagger
        self._looks: list[_Look] = []
        self._sizes: list[tuple[int, int]] = []  # (width, height) of each frame
        self._thumbs: list[NDArray[np.float32]] = []
        self._seams: list[NDArray[np.float32]] = []
        self._content = WHOLE

    def __len__(self) -> int:
        return len(self._looks)

    def add(self, frames: Sequence[NDArray[np.uint8]]) -> None:
        """Look at frames.

        Parameters
        ----------
        frames : sequence of np.ndarray [shape=(height, width, 3), uint8, RGB]
            At least one.

        Raises
        ------
        InvalidPicture
            If one is no picture, or too small to be cut in two.
        """
        for frame in frames:
            if frame.ndim != 3 or min(frame.shape[:2]) < _LEAST_SIDE:
                raise InvalidPicture(
                    f"a frame must be (height, width, 3) and {_LEAST_SIDE} pixels wide and high at least, "
                    f"got {frame.shape}"
                )
        if not self._looks:
            # Bars stay; what is black in the first frames that are spread over the clip is taken for one.
            self._content = content_box([frame for frame in frames if frame.shape == frames[0].shape])
        self._sizes += [(frame.shape[1], frame.shape[0]) for frame in frames]
        self._look([self._content.cut(frame) for frame in frames])
        self._look_at_sides()

    @property
    def sides(self) -> NDArray[np.float64]:
        """Log-probabilities [shape=(2, 8), float64, nats] of each instrument on the left and on the right."""
        better = {number: float(by.max()) for number, by in self._one_fits_better().items()}
        # Where some shots show two players, those of one of them say who plays, and nothing of left and right.
        parted = min(better.values(), default=0.0) < 0.0
        close_ups = {number for number, by in better.items() if parted and by > _CLOSE_UP}
        certain = np.mean([self._certain(look, look.shot in close_ups) for look in self._looks], axis=0)
        shares = np.exp(certain - certain.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        mixed: NDArray[np.float64] = np.log((1.0 - MISNAMED) * shares + MISNAMED / len(INSTRUMENTS))
        return mixed

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities [shape=(frames, 2, 8), float32, 0..1] of the eight on either side, in the order of the frames,
        rows summing to 1 at most."""
        return np.stack([of_the_eight(look.halves) for look in self._looks]).astype(np.float32)

    @property
    def others(self) -> NDArray[np.float64]:
        """Mean probability [shape=(2, 17), float64] of instruments beside the eight, as in `classes.OTHERS`."""
        found: NDArray[np.float64] = np.mean([look.halves[:, _OTHER_IDS] for look in self._looks], axis=0)
        return found

    def alike(self) -> tuple[int, float]:
        """Return which instrument fits both sides of some cut best, and by how much (nats) better than any two
        different ones do: in the shot where that is least so, of those that show any of the eight."""
        better = self._one_fits_better()
        if not better:
            return 0, -np.inf
        least = np.min(list(better.values()), axis=0)
        return int(least.argmax()), float(least.max())

    def trio(self) -> Trio:
        """Return the three players that are most seen side by side in any of the shots."""
        shots = ([look.columns for look in self._looks if look.shot == number] for number in range(len(self._thumbs)))
        return max(map(best_trio, shots), key=lambda trio: trio.probability)

    def shots(self, left: int, right: int) -> tuple[Shot, ...]:
        """Return the shots with the extents of two instruments, given by their places; the longest shot first."""
        found = []
        for number in range(len(self._thumbs)):
            places = [place for place, look in enumerate(self._looks) if look.shot == number]
            looks = [self._looks[place] for place in places]
            cut = float(CUTS[looks[0].cut])
            maps = np.mean([look.maps for look in looks if look.maps.shape == looks[0].maps.shape], axis=0)
            boxes = (extent(maps[:, :, left], 0.0, cut), extent(maps[:, :, right], cut, 1.0))
            inside = self._content
            found.append(
                Shot(
                    share=len(looks) / len(self._looks),
                    frame=places[0],
                    size=self._sizes[places[0]],
                    cut=inside.left + cut * (inside.right - inside.left),
                    extents=(inside.within(boxes[0]), inside.within(boxes[1])),
                )
            )
        return tuple(sorted(found, key=lambda shot: -shot.share))

    def _certain(self, look: _Look, close_up: bool) -> NDArray[np.float64]:
        """Log-probabilities (2, 8) by both looks at a frame: its columns at the shot's cut, its sides as pictures."""
        certain = log_shares(look.of_cuts[look.cut]) + log_shares(of_the_eight(look.halves))
        return np.broadcast_to(certain.mean(axis=0), certain.shape) if close_up else certain

    def _one_fits_better(self) -> dict[int, NDArray[np.float64]]:
        """By how much (8, nats) one instrument on both sides fits better than any two, in shots that show any."""
        better = {}
        for number, seams in enumerate(self._seams):
            of_cuts = [look.of_cuts for look in self._looks if look.shot == number]
            if np.mean(of_cuts, axis=0).sum(axis=-1).max() >= _FAINT:
                sides = np.mean([log_shares(one) for one in of_cuts], axis=0)
                odds = log_odds_of_cuts(seams)
                same = (sides.sum(axis=1) + odds[:, None]).max(axis=0)
                better[number] = same - (pairs_at_cuts(sides) + odds[:, None, None]).max()
        return better

    def _look(self, pictures: list[NDArray[np.uint8]]) -> None:
        scenes = [self._tagger.scene(picture) for picture in pictures]
        for picture, scene, maps in zip(pictures, scenes, self._maps(scenes), strict=True):
            shot = shot_of(thumbnail(picture), self._thumbs)
            seams = seam_profile(picture)
            if shot == len(self._seams):
                self._seams.append(seams)
            else:
                self._seams[shot] = np.minimum(self._seams[shot], seams)
            columns = maps.mean(axis=0)
            chosen = np.stack([maps[:, :, one.imagenet_id] for one in INSTRUMENTS], axis=-1)
            self._looks.append(_Look(scene, shot, columns, chosen, sides_of_cuts(columns)))

    def _look_at_sides(self) -> None:
        """Find each shot's cut by all its frames, and look at both sides of those that were not cut there yet."""
        changed = []
        for number, seams in enumerate(self._seams):
            looks = [look for look in self._looks if look.shot == number]
            cut = best_cut(np.mean([log_shares(look.of_cuts) for look in looks], axis=0), seams)
            changed += [look for look in looks if look.cut != cut]
            for look in looks:
                look.cut = cut
        crops = []
        for look in changed:
            at = round(float(CUTS[look.cut]) * look.scene.shape[1])
            crops += [self._tagger.part(side) for side in (look.scene[:, :at], look.scene[:, at:])]
        scores = [maps.mean(axis=(0, 1)) for maps in self._maps(crops)]
        for look, left, right in zip(changed, scores[::2], scores[1::2], strict=True):
            look.halves = softmax(np.stack([left, right]).astype(np.float64))

    def _maps(self, scenes: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Class maps (rows, columns, 1000) of each, those of one shape in one batch."""
        found: dict[int, NDArray[np.float32]] = {}
        for shape in dict.fromkeys(scene.shape for scene in scenes):
            places = [place for place, scene in enumerate(scenes) if scene.shape == shape]
            for start in range(0, len(places), _BATCH):
                part = places[start : start + _BATCH]
                found |= dict(zip(part, self._tagger.class_maps(np.stack([scenes[i] for i in part])), strict=True))
        return [found[place] for place in range(len(scenes))]
