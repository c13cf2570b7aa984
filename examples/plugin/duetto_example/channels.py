"""Separator ``channels``: each player has a microphone, and each microphone a side.

A separator of sound: it gets samples at the rate that it wants, and gives the left player's part of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ChannelSeparator:
    """The first half of the channels is the left player's; of a channel in the middle, each has half."""

    sample_rate = 32_000  # Hz: this need not be the recording's
    block_samples = 5 * sample_rate
    overlap_samples = sample_rate // 2

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self.provenance: dict[str, Any] = {}

    def stem(
        self,
        sound: NDArray[np.float32],
        left: str,  # noqa: ARG002 - whoever it is
        right: str,  # noqa: ARG002
        should_stop: Callable[[], bool] | None = None,  # noqa: ARG002 - for separators that take long
    ) -> NDArray[np.float32]:
        """Return the left player's part of sound (channels, samples) float32: the same shape."""
        channels = len(sound)
        # Of two channels: 1, 0. Of three: 1, 1/2, 0. Of one: 1/2.
        gains = np.clip(channels / 2 - np.arange(channels), 0.0, 1.0).astype(np.float32)
        stem: NDArray[np.float32] = sound * gains[:, None]
        return stem


def make(_surroundings: object) -> ChannelSeparator:
    """What the entry point names."""
    return ChannelSeparator()
