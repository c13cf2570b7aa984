"""DenseNet-161, the report's picture network, from torchvision (Huang et al., CVPR 2017)."""

from __future__ import annotations

import re

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.taggers import torchvision_compat

# The published file says `denselayer1.norm.1.weight` where torchvision's modules say `denselayer1.norm1.weight`.
_OLD_NAME = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$")


def build() -> nn.Module:
    """Return the network with 1,000 outputs, weights unset."""
    torchvision_compat.ensure_importable()
    from torchvision.models import densenet161  # noqa: PLC0415 - only once it can be imported

    network: nn.Module = densenet161(weights=None)
    return network


def class_maps(network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Scores of every class at every place: what the network's pooling takes the mean of.

    Parameters
    ----------
    pixels : torch.Tensor [shape=(n, 3, height, width), float32]

    Returns
    -------
    torch.Tensor [shape=(n, rows, columns, 1000), float32]
    """
    features = torch.relu(network.features(pixels))  # type: ignore[operator]  # a module of torchvision's
    # (n, channels, rows, columns) -> (n, rows, columns, channels)
    scores: torch.Tensor = network.classifier(features.permute(0, 2, 3, 1))  # type: ignore[operator]  # as above
    return scores


def fold(network: nn.Module) -> None:
    """Put each batch norm that follows a convolution into it: the same scores to rounding."""
    for module in network.modules():
        for convolution, norm in (("conv0", "norm0"), ("conv1", "norm2")):
            if hasattr(module, convolution) and hasattr(module, norm):
                setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm)))
                setattr(module, norm, nn.Identity())


def convert(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the published file's tensors to the network's names."""
    return {_OLD_NAME.sub(r"\1\2", name): tensor for name, tensor in state.items()}


def weights_url() -> str:
    """Return where torchvision publishes the ImageNet weights (110 MB)."""
    torchvision_compat.ensure_importable()
    from torchvision.models import DenseNet161_Weights  # noqa: PLC0415

    url: str = DenseNet161_Weights.IMAGENET1K_V1.url
    return url
