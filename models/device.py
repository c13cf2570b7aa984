"""The device that networks run on: the CPU, or an NVIDIA GPU through CUDA."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from models.errors import DeviceUnavailable

AUTO = "auto"
CPU = "cpu"
CUDA = "cuda"
NAMES: tuple[str, ...] = (CPU, CUDA)
CPU_DEVICE = torch.device(CPU)


def resolve_device(name: str) -> torch.device:
    """Return the device called `name`: "cpu", "cuda" (the process's first GPU), or "auto" (that, else the CPU).

    Raises
    ------
    ValueError
        If no device has that name.
    DeviceUnavailable
        If it is "cuda" and this process can use no GPU.
    """
    if name not in (AUTO, *NAMES):
        raise ValueError(f"no device is called {name!r}; there are {', '.join((AUTO, *NAMES))}")
    if name == CPU or (name == AUTO and not torch.cuda.is_available()):
        return torch.device(CPU)
    if torch.version.cuda is None:
        raise DeviceUnavailable("this PyTorch is built without CUDA")
    if not torch.cuda.is_available():
        raise DeviceUnavailable("PyTorch finds no GPU, or no driver for it")
    return torch.device(CUDA)


def about_device(device: torch.device) -> dict[str, str]:
    """Return what a result's provenance says of the device: its kind and, of a GPU, its name."""
    if device.type == CUDA:
        return {"device": CUDA, "gpu": torch.cuda.get_device_name(device)}
    return {"device": device.type}


def exact_arithmetic(device: torch.device) -> AbstractContextManager[None]:
    """Within it, networks calculate in float32, the same way each time; a GPU would round to 10 bits, as it likes."""
    if device.type != CUDA:
        return nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags
