"""What an upload may be: the limits, and the containers that are opened at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from worker.media.choice import MOST_FRAMES

if TYPE_CHECKING:
    # The child that decodes needs no settings, and would wait for them to be imported.
    from app.settings import Settings

MIB = 1 << 20
# CPU seconds for a picture of 40 million pixels in the slowest format; measured: 2 for a WebP.
PICTURE_CPU_S = 8.0

# Demuxer names of FFmpeg. Playlists (concat, hls, dash, image2, sdp) are left out on purpose: they
# open other files.
FORMAT_WHITELIST = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,flv,wav,w64,aiff,flac,mp3,ogg,aac"
PROTOCOL_WHITELIST = "file"


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Limits on one upload. The header of a file lies, so each is enforced while decoding."""

    max_duration_s: float = 7200.0
    max_pixels: int = 40_000_000
    max_streams: int = 64
    max_channels: int = 8
    min_sample_rate: int = 4_000
    max_sample_rate: int = 384_000
    # Pictures in a video stream: two hours at 240 a second.
    max_video_frames: int = 7200 * 240
    max_images: int = 20_000
    # A picture as it lies in the upload: an uncompressed BMP of `max_pixels` has 120 MB.
    max_image_bytes: int = 160 * MIB
    # Deflate reaches 1,032; photographs, which are compressed already, stay near 1.
    max_zip_ratio: float = 200.0
    # The process that decodes. Address space: measured, a video of 8192 x 4320 pixels at the most reference frames
    # that H.264 allows takes 1.2 GiB.
    memory_bytes: int = 2048 * MIB
    # CPU seconds before anything is decoded, and more for each second of the recording that was.
    cpu_s: float = 120.0
    cpu_per_s: float = 4.0
    # Seconds for which the worker waits, for each second of CPU time: the machine has other work too.
    wait_per_cpu_s: float = 5.0

    @property
    def start_cpu_s(self) -> int:
        """CPU seconds before anything was decoded, in whole seconds as the system counts them."""
        return max(1, math.ceil(self.cpu_s))

    @property
    def most_cpu_s(self) -> int:
        """CPU seconds that no upload may exceed, whatever was decoded of it."""
        return math.ceil(self.cpu_s + max(self.cpu_per_s * self.max_duration_s, PICTURE_CPU_S * MOST_FRAMES))

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the limits that the operator set."""
        return cls(
            max_duration_s=settings.max_duration_s,
            max_pixels=settings.max_pixels,
            max_images=settings.max_images,
            memory_bytes=settings.media_memory_bytes,
            cpu_s=settings.media_cpu_s,
            cpu_per_s=settings.media_cpu_per_s,
        )
