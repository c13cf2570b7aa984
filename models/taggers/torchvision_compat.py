"""Make `import torchvision` work beside a CPU build of torch.

PyPI's torchvision for Linux is built for CUDA. Beside a CPU build of torch its operators do not load,
and its import dies with "operator torchvision::nms does not exist". Duetto needs its models only, none
of its operators: declaring the two schemas that the import looks for is enough.
"""

from __future__ import annotations

import importlib
import sys

import torch

_MISSING_SCHEMAS = (
    ("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
    ("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
)


def ensure_importable() -> None:
    """Import torchvision, declaring the missing operators first where that is what it fails on.

    Raises
    ------
    RuntimeError, ImportError
        If torchvision fails for any other reason, as it would by itself.
    """
    if "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name, schema in _MISSING_SCHEMAS:
            torch.library.define(name, schema)
        importlib.import_module("torchvision")
