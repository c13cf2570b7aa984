"""Which instruments sound in a recording: a small network on log-frequency spectra, no picture needed."""

from __future__ import annotations

from models.hearing.listening import LISTENER_WEIGHTS, MOST_SECONDS, Heard, Listener, load_listener
from models.hearing.network import InstrumentNet

__all__ = ["LISTENER_WEIGHTS", "MOST_SECONDS", "Heard", "InstrumentNet", "Listener", "load_listener"]
