"""The device of this worker's networks: that of the settings, or a clear refusal.

The parent of a prefork worker imports this module, so nothing here imports torch before it is called.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import ConfigurationError
from app.settings import Settings

if TYPE_CHECKING:
    import torch

_ROOT: Final = Path(__file__).parents[1]
_PROGRAM: Final = """
import sys
from models.device import resolve_device
from models.errors import DeviceUnavailable
try:
    resolve_device(sys.argv[1])
except DeviceUnavailable as error:
    print(error, end="")
"""
_PATIENCE_S: Final = 120.0  # torch's import on a machine that is busy


def device_of(settings: Settings) -> torch.device:
    """Return the device of the settings.

    Raises
    ------
    ConfigurationError
        If it is not there.
    """
    from models.device import resolve_device  # noqa: PLC0415 - as above
    from models.errors import DeviceUnavailable  # noqa: PLC0415

    try:
        return resolve_device(settings.device)
    except DeviceUnavailable as error:
        raise _unusable(settings, str(error)) from error


def check_device(settings: Settings) -> None:
    """Return if `device_of` will find the device; asked in a process of its own, which takes some seconds for a GPU.

    A worker that found out with its first job would let every job of the queue fail, one after the other.

    Raises
    ------
    ConfigurationError
        If the device is not there, or cannot be asked for.
    """
    if settings.device != "cuda":  # the others are always there
        return
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(_ROOT)!r})\n{_PROGRAM}"]
    try:
        asked = subprocess.run(  # noqa: S603 - nothing in it comes from a user
            [*command, settings.device], capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        raise _unusable(settings, f"PyTorch did not find it within {_PATIENCE_S:.0f} s") from None
    if asked.returncode != 0:
        last_words = asked.stderr.strip().rpartition("\n")[2]
        raise _unusable(settings, f"PyTorch cannot be asked for it ({last_words})")
    if asked.stdout:
        raise _unusable(settings, asked.stdout)


def _unusable(settings: Settings, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"DUETTO_DEVICE is {settings.device}, and there is none: {reason}. Install PyTorch's build for CUDA and "
        "NVIDIA's driver, or set DUETTO_DEVICE to cpu, or to auto, which takes a GPU where there is one"
    )
