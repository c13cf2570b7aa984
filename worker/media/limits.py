"""What an upload may be: the limits, and the containers that are opened at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from app.settings import Settings

MIB = 1 << 20

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

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the limits that the operator set."""
        return cls(
            max_duration_s=settings.max_duration_s,
            max_pixels=settings.max_pixels,
            max_images=settings.max_images,
        )
