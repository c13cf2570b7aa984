"""A registry entry with its weights: the tagger that classifies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from models import parallel
from models.device import CPU, about_device, exact_arithmetic
from models.errors import InvalidPicture
from models.taggers.registry import TaggerEntry

_STRIDE = 32  # pixels of the input to a column of the last maps
_SHORTEST, _LONGEST = 132, 800  # pixels


class NetworkTagger:
    """An ImageNet classifier asked for the eight instruments. See :class:`models.taggers.protocol.Tagger`."""

    def __init__(self, entry: TaggerEntry, network: nn.Module, weights_sha256: str, device: torch.device) -> None:
        self.name = entry.name
        self._entry = entry
        self._device = device
        entry.fold(network.eval())
        # channels_last: a quarter faster on CPUs, same arithmetic.
        self._network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._weights_sha256 = weights_sha256
        self._mean = (torch.tensor(entry.mean).view(1, 3, 1, 1) * 255.0).to(device)
        self._std = (torch.tensor(entry.std).view(1, 3, 1, 1) * 255.0).to(device)
        self._ids = list(entry.class_ids)

    @property
    def provenance(self) -> dict[str, Any]:
        """Architecture, weights by hash, licence, and where it runs."""
        return {
            "name": self.name,
            "weights_sha256": self._weights_sha256,
            "source": self._entry.source,
            "licence": self._entry.licence,
            **about_device(self._device),
        }

    def prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See :meth:`models.taggers.protocol.Tagger.prepare`."""
        _check(picture)
        size = (self._entry.input_size, self._entry.input_size)
        resized = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
        return np.asarray(resized, dtype=np.uint8)

    def scene(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See :meth:`models.taggers.protocol.SceneTagger.scene`."""
        _check(picture)
        height, width = picture.shape[:2]
        return self._at_scale(picture, self._entry.input_size / min(height, width))

    def part(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See :meth:`models.taggers.protocol.SceneTagger.part`."""
        _check(picture)
        return self._at_scale(picture, 1.0)

    def _at_scale(self, picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
        height, width = (self._length(scale * side) for side in picture.shape[:2])
        return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC), dtype=np.uint8)

    def _length(self, wanted: float) -> int:
        """The next length in pixels that keeps the network's padding as it was trained with."""
        size = self._entry.input_size
        steps = round((wanted - size) / _STRIDE)
        return size + _STRIDE * min(max(steps, (_SHORTEST - size) // _STRIDE), (_LONGEST - size) // _STRIDE)

    def class_maps(self, scenes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :meth:`models.taggers.protocol.SceneTagger.class_maps`.

        Raises
        ------
        MemoryError
            If the GPU has not enough memory for the batch.
        """
        return self._of_each(lambda pixels: self._entry.class_maps(self._network, pixels), scenes)

    def probabilities(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :meth:`models.taggers.protocol.Tagger.probabilities`.

        Raises
        ------
        MemoryError
            If the GPU has not enough memory for the batch.
        """
        if len(prepared) == 0:
            return np.zeros((0, len(self._ids)), np.float32)
        return self._of_each(lambda pixels: self._network(pixels).softmax(dim=1)[:, self._ids], prepared)

    def _of_each(
        self, look: Callable[[torch.Tensor], torch.Tensor], pictures: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """What the network says of pictures (n, height, width, 3), (n, ...): on a GPU of all at once, else of one at a
        time on each core, which takes less than a batch whose layers do not stay in the cache.
        """

        def looked(some: NDArray[np.uint8]) -> NDArray[np.float32]:
            with self._inference():
                return look(self._pixels(some)).cpu().numpy().astype(np.float32)

        if self._device.type != CPU:
            return looked(pictures)
        return np.concatenate(parallel.each(looked, np.split(pictures, len(pictures))))

    @contextmanager
    def _inference(self) -> Iterator[None]:
        try:
            with torch.inference_mode(), exact_arithmetic(self._device):
                yield
        except torch.OutOfMemoryError as error:
            raise MemoryError(f"{self.name} needs more memory than the GPU has left") from error

    def _pixels(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """Pictures (n, height, width, 3) as the network's input (n, 3, height, width)."""
        raw = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
        # Moved as bytes, a quarter of what floats are.
        pixels = raw.to(self._device).float()
        return ((pixels - self._mean) / self._std).contiguous(memory_format=torch.channels_last)


def _check(picture: NDArray[np.uint8]) -> None:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise InvalidPicture(
            f"a picture must be uint8 (height, width, 3), got {picture.dtype} {picture.shape}; convert it to RGB"
        )
