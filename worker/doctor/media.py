"""Looks at what decodes uploads: FFmpeg and its decoders, by the example that ships, and the walls around them."""

from __future__ import annotations

from typing import Final

import av
from av.codec import codecs_available

from app.doctor.finding import Findings, ok, problem, warning
from app.settings import Settings
from worker.errors import JobFailure
from worker.example_duet import example_duet
from worker.media.frames import video_frames
from worker.media.limits import MediaLimits
from worker.media.sandbox import tried_out
from worker.media.sound import SoundReader

MEDIA: Final = "media"
SANDBOX: Final = "sandbox"
# What phones, cameras and browsers write.
_DECODERS: Final = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "aac", "mp3", "opus", "vorbis", "flac"})


def check_media(settings: Settings) -> Findings:
    """Decode the beginning of the example as an upload is decoded, then try out the walls."""
    limits = MediaLimits.from_settings(settings)
    missing = sorted(_DECODERS - codecs_available)
    if missing:
        yield warning(MEDIA, f"FFmpeg lacks {', '.join(missing)}, so such uploads fail: install PyAV from its wheel")
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    try:
        example = example_duet()
        with SoundReader(example.video, limits) as sound:
            rate, channels = sound.sample_rate, sound.channels
        frame = next(iter(video_frames(example.video, limits, most=1))).image
    except FileNotFoundError as error:
        yield problem(MEDIA, str(error))
    except JobFailure as failure:
        yield problem(
            MEDIA,
            f"the example cannot be decoded ({failure.code}): where it needs more memory or time than it is given, "
            "raise DUETTO_MEDIA_MEMORY_BYTES or DUETTO_MEDIA_CPU_S; else install Duetto anew",
        )
    else:
        height, width = frame.shape[:2]
        yield ok(
            MEDIA, f"the example is decoded: {rate} Hz, {channels} channels, {width} x {height}; libavcodec {version}"
        )
    yield from _check_sandbox(limits)


def _check_sandbox(limits: MediaLimits) -> Findings:
    try:
        walls = tried_out(limits)
    except JobFailure as failure:
        yield problem(SANDBOX, f"no decoder can be started ({failure.code}): raise DUETTO_MEDIA_MEMORY_BYTES")
        return
    for gap in walls.gaps:
        yield warning(SANDBOX, gap)
    if not walls.gaps:
        held_by = [name for name in ("landlock", "seccomp", "namespace") if getattr(walls, name)]
        yield ok(SANDBOX, f"a decoder reaches no network, no other file, no program ({', '.join(held_by)})")
