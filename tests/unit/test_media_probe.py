"""Probe: what the header says, and what is refused for it."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from tests.media import CONTAINERS, Video, noise, write_media, write_wav
from worker.errors import PictureTooLarge, TooLong, UnsupportedMedia
from worker.media.decoding.probe import probe
from worker.media.limits import MediaLimits

LIMITS = MediaLimits()


@pytest.mark.parametrize(("suffix", "codec", "picture"), CONTAINERS)
def test_a_video_is_described(tmp_path: Path, suffix: str, codec: str, picture: str) -> None:
    path = write_media(tmp_path / f"a.{suffix}", noise(2, 48000), 48000, codec=codec, video=Video(25, codec=picture))
    info = probe(path, LIMITS)
    assert (info.has_audio, info.has_video) == (True, True)
    assert (info.sample_rate, info.channels, info.width, info.height) == (48000, 2, 64, 48)
    assert info.fps == pytest.approx(25, rel=0.05)
    assert info.duration_s == pytest.approx(1.0, abs=0.1)


def test_sound_alone_and_picture_alone_are_told_apart(tmp_path: Path) -> None:
    sound = probe(write_wav(tmp_path / "a.wav", noise(6, 9601), 96000), LIMITS)
    assert (sound.has_audio, sound.has_video, sound.channels, sound.width) == (True, False, 6, None)
    assert sound.duration_s == pytest.approx(9601 / 96000)
    picture = probe(write_media(tmp_path / "a.mp4", video=Video(5)), LIMITS)
    assert (picture.has_audio, picture.has_video, picture.sample_rate) == (False, True, None)


def test_a_live_recording_says_nothing_of_its_length(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.webm", noise(1, 48000), 48000, codec="libopus", options={"live": "1"})
    assert probe(path, LIMITS).duration_s is None


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as out:
        sound = out.add_stream("libmp3lame", rate=44100, layout="stereo")
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        frame = av.VideoFrame(64, 64, "yuvj420p")
        frame.pts = 0
        out.mux(cover.encode(frame))
        out.mux(cover.encode(None))
        silence = av.AudioFrame.from_ndarray(noise(2, 1152), "fltp", "stereo")
        silence.sample_rate = 44100
        out.mux(sound.encode(silence))
        out.mux(sound.encode(None))
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    info = probe(path, LIMITS)
    assert (info.has_audio, info.has_video) == (True, False)


def test_a_header_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", noise(1, 8000 * 5), 8000)
    with pytest.raises(TooLong, match="lasts 5 s, longer than the 2 s"):
        probe(path, MediaLimits(max_duration_s=2.0))


def test_a_video_frame_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", video=Video(3, width=320, height=240))
    with pytest.raises(PictureTooLarge, match="320 × 240"):
        probe(path, MediaLimits(max_pixels=320 * 240 - 1))
    assert probe(path, MediaLimits(max_pixels=320 * 240)).width == 320


def test_too_many_streams_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        for stream in [out.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in range(5)]:
            frame = av.AudioFrame("s16", "mono", 100)
            frame.sample_rate, frame.pts = 8000, 0
            out.mux(stream.encode(frame))
    with pytest.raises(UnsupportedMedia, match="5 streams"):
        probe(path, MediaLimits(max_streams=4))
