"""Looks at the device that picture networks run on."""

from __future__ import annotations

from typing import Final

from app.doctor.finding import Findings, ok, problem
from app.errors import ConfigurationError
from app.settings import Settings
from models.device import about_device
from worker.device import device_of

DEVICE: Final = "device"


def check_device(settings: Settings) -> Findings:
    """Look whether it is there."""
    try:
        about = about_device(device_of(settings))
    except ConfigurationError as error:
        yield problem(DEVICE, error.detail)
        return
    name = f", {about['gpu']}" if "gpu" in about else ""
    yield ok(DEVICE, f"picture networks run on {about['device']}{name} (DUETTO_DEVICE is {settings.device})")
