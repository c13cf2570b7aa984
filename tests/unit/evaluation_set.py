"""A test set in the report's layout that tests make for themselves, and taggers and separators for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.evaluation.layout import Duet
from models.instruments import NAMES, index_of
from models.separators import GuidedNMF
from tests.media import write_wav
from tests.unit.signals import harmonic, synthetic_bank

RATE = 44_100
SECONDS = 2.0
NAMED = ("flute_1_cello", "acoustic_guitar_2_xylophone_3")
PLAYERS = (("flute", "cello"), ("acoustic_guitar", "xylophone"))
FRAMES = 3
_GREY_STEP = 30


def tone(instrument: str, seconds: float = SECONDS, step: int = 0, rate: int = RATE) -> NDArray[np.float32]:
    """Notes that the synthetic bank has a basis for: (samples,) float32, with a little noise."""
    index = index_of(instrument)
    notes = [harmonic(110.0 * 2 ** (index / 2 + (step + k) / 24), seconds / 2, rate) for k in (1, 6)]
    sound = np.concatenate(notes)
    hiss = np.random.default_rng(index).standard_normal(len(sound))
    return (sound + 1e-3 * hiss).astype(np.float32)


def write_set(root: Path, names: tuple[str, ...] = NAMED, rate: int = RATE) -> Path:
    """Write duets of 2 s: sound, frames whose halves are as grey as the player's number, and gt.json."""
    truth = {}
    for name, players in zip(names, PLAYERS, strict=True):
        left, right = (tone(player, rate=rate) for player in players)
        audio = root / "gt_audio"
        audio.mkdir(parents=True, exist_ok=True)
        for suffix, sound in (("", left + right), ("_gt1", left), ("_gt2", right)):
            write_wav(audio / f"{name}{suffix}.wav", sound[None], rate)
        images = root / "testimage" / name
        images.mkdir(parents=True)
        for number in range(1, FRAMES + 1):
            Image.fromarray(frame(*players)).save(images / f"{number:06d}.jpg", quality=95)
        truth[f"{name}.mp4"] = [{"audio": f"{name}_gt{k + 1}.wav", "position": k} for k in (0, 1)]
    write_json(root / "result_json" / "gt.json", truth)
    return root


def write_json(path: Path, document: Any) -> None:
    """Write a document, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def frame(left: str, right: str) -> NDArray[np.uint8]:
    """A frame (32, 64, 3) uint8 whose halves are as grey as :class:`GreyTagger` reads them."""
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, :32] = _GREY_STEP * (index_of(left) + 1)
    picture[:, 32:] = _GREY_STEP * (index_of(right) + 1)
    return picture


class GreyTagger:
    """A tagger that goes by how bright a picture is."""

    name = "grey"
    provenance: dict[str, Any] = {"name": "grey"}  # noqa: RUF012 - a protocol's plain attribute

    def prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Average the picture to one pixel."""
        return picture.mean(axis=(0, 1), keepdims=True).round().astype(np.uint8)

    def probabilities(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """0.9 for the nearest grey."""
        index = np.rint(prepared[:, 0, 0, 0] / _GREY_STEP).astype(int) - 1
        out = np.full((len(prepared), len(NAMES)), 0.01, np.float32)
        out[np.arange(len(prepared)), index.clip(0, len(NAMES) - 1)] = 0.9
        return out


class Counting(GuidedNMF):
    """Guided NMF that counts how many blocks it was asked for, with a setting that its parameters tell."""

    def __init__(self, name: str = "nmf-of-the-tests", setting: int = 1) -> None:
        super().__init__(synthetic_bank(), name=name, iterations=30)
        self.blocks = 0
        self.setting = setting

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of guided NMF, and the setting."""
        return super().parameters | {"setting": self.setting}

    def mask(self, V: NDArray[np.float32], left: str, right: str, should_stop: Any = None) -> NDArray[np.float32]:
        """Count, and do it."""
        self.blocks += 1
        return super().mask(V, left, right, should_stop)


class LeftGetsNothing(GuidedNMF):
    """A separator that is useless in a way that cannot be measured."""

    def __init__(self) -> None:
        super().__init__(synthetic_bank(), name="nothing", iterations=1)

    def mask(self, V: NDArray[np.float32], left: str, right: str, should_stop: Any = None) -> NDArray[np.float32]:
        """All of it to the right."""
        return 0.0 * super().mask(V, left, right, should_stop)


def frames_of(duet: Duet, _in_rounds: bool = False) -> Iterator[NDArray[np.uint8]]:
    """The frames of a duet, by Pillow alone."""
    for path in duet.images:
        with Image.open(path) as picture:
            yield np.asarray(picture.convert("RGB"))
