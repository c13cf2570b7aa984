"""What an upload claims to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What the header says. Only decoding tells the truth: the limits are enforced again there.

    Attributes
    ----------
    format : str
        FFmpeg's name of the container, e.g. ``mov,mp4,m4a,3gp,3g2,mj2``.
    duration_s : float or None
        Best estimate in seconds; None where the header says nothing (a live recording in WebM).
    sample_rate : int or None
        Hz; None without sound.
    channels : int or None
        None without sound.
    width, height : int or None
        Pixels as stored, before any rotation; None without picture.
    fps : float or None
        Average frames per second; None where unknown.
    """

    format: str
    duration_s: float | None
    has_audio: bool
    has_video: bool
    sample_rate: int | None = None
    channels: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
