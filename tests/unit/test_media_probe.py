"""Probe, and what hostile files may not do to it."""

from __future__ import annotations

import resource
from pathlib import Path

import av
import pytest

from tests.media import CONTAINERS, Video, mov_of_png, noise, png_bomb, write_media, write_wav
from worker.errors import JobFailure, MediaUnreadable, PictureTooLarge, TooLong, UnsupportedMedia
from worker.media.frames import video_frames
from worker.media.limits import MediaLimits
from worker.media.probe import probe

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


def test_a_playlist_named_mp4_opens_nothing(tmp_path: Path) -> None:
    write_media(tmp_path / "secret.mp4", noise(2, 48000), 48000)
    path = tmp_path / "a.mp4"
    path.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    # Without the whitelist it would work: otherwise this test would prove nothing.
    with av.open(str(path)) as container:
        assert container.streams.audio
    with pytest.raises(MediaUnreadable):
        probe(path, LIMITS)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n",
        "http://127.0.0.1:9/a.mp4\n",
        "v=0\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    ],
)
def test_other_playlists_are_refused_too(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_text(text)
    with pytest.raises(MediaUnreadable):
        probe(path, LIMITS)


@pytest.mark.parametrize("name", ["concat:b.mp4", "a|b.mp4", "data:text.mp4", "50%d.mp4"])
def test_a_name_is_never_taken_for_a_protocol_or_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_media(tmp_path / "plain.mp4", noise(1, 4800), 48000).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(name), LIMITS).has_audio


def test_a_picture_bomb_costs_no_memory_to_refuse(tmp_path: Path) -> None:
    honest = mov_of_png(tmp_path / "honest.mov", png_bomb(), 12000, 12000)
    # What the header says fits; what the picture says does not.
    liar = mov_of_png(tmp_path / "liar.mov", png_bomb(), 64, 48)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PictureTooLarge, match="more than the 40,000,000 pixels"):
        probe(honest, LIMITS)
    with pytest.raises(JobFailure):
        list(video_frames(liar, LIMITS))
    # Decoded, it has 412 MiB (ru_maxrss is in KiB).
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


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


@pytest.mark.parametrize("content", [b"", b"not a video" * 500, bytes(range(256)) * 40], ids=["empty", "text", "bytes"])
def test_what_is_no_media_is_refused_without_a_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaUnreadable) as caught:
        probe(path, LIMITS)
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.__cause__ is None
