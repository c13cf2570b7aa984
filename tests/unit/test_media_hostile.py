"""Hostile uploads, each by the decoder alone, whose own guards must hold, and by way of its process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.media import Video, image_bytes, mov_of_png, noise, png_bomb, write_media, write_wav, write_zip
from worker.errors import FramesUnreadable, JobFailure, MediaUnreadable, PictureTooLarge, TooLong, TooManyFrames
from worker.errors import UnsupportedMedia as Unsupported
from worker.media import frames, sound
from worker.media import probe as sandboxed
from worker.media.decoding import pictures, video
from worker.media.decoding import probe as inside
from worker.media.decoding.sound import SoundDecoder
from worker.media.info import MediaInfo
from worker.media.limits import MIB, MediaLimits

LIMITS = MediaLimits()
# Room for a decoder, not for a bomb.
SMALL = MediaLimits(memory_bytes=512 * MIB)

Probe = Callable[[Path, MediaLimits], MediaInfo]
Count = Callable[[Path, MediaLimits], int]


@pytest.fixture(params=["inside", "sandboxed"])
def is_inside(request: pytest.FixtureRequest) -> bool:
    """Whether this process decodes, or the one that is meant to."""
    return bool(request.param == "inside")


@pytest.fixture
def probe(is_inside: bool) -> Probe:
    return inside.probe if is_inside else sandboxed.probe


@pytest.fixture
def hear(is_inside: bool) -> Count:
    """Decode all sound; returns its length in samples."""
    reader = SoundDecoder if is_inside else sound.SoundReader

    def count(path: Path, limits: MediaLimits) -> int:
        with reader(path, limits) as opened:
            return sum(block.shape[1] for block in opened.blocks())

    return count


@pytest.fixture
def look(is_inside: bool) -> Count:
    """Decode the pictures of a video or a zip; returns how many."""
    of_video = video.video_frames if is_inside else frames.video_frames
    of_zip = pictures.picture_frames if is_inside else frames.picture_frames

    def count(path: Path, limits: MediaLimits) -> int:
        return len(list((of_zip if path.suffix == ".zip" else of_video)(path, limits)))

    return count


def test_a_playlist_named_mp4_opens_nothing(tmp_path: Path, probe: Probe) -> None:
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
def test_other_playlists_are_refused_too(tmp_path: Path, probe: Probe, text: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_text(text)
    with pytest.raises(MediaUnreadable):
        probe(path, LIMITS)


@pytest.mark.parametrize("name", ["concat:b.mp4", "a|b.mp4", "data:text.mp4", "50%d.mp4"])
def test_a_name_is_never_taken_for_a_protocol_or_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: Probe, name: str
) -> None:
    write_media(tmp_path / "plain.mp4", noise(1, 4800), 48000).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(name), LIMITS).has_audio


def test_a_picture_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    honest = mov_of_png(tmp_path / "honest.mov", png_bomb(), 12000, 12000)
    # What the header says fits; what the picture says does not.
    liar = mov_of_png(tmp_path / "liar.mov", png_bomb(), 64, 48)
    # Unpacked it has 412 MiB, for which there is no room beside the libraries: that would be another failure.
    limits = dataclasses.replace(SMALL, memory_bytes=400 * MIB)
    with pytest.raises(PictureTooLarge, match="more than the 40,000,000 pixels"):
        sandboxed.probe(honest, limits)
    with pytest.raises((PictureTooLarge, FramesUnreadable)):
        list(frames.video_frames(liar, limits))
    for upload in (tmp_path / "a.png", write_zip(tmp_path / "a.zip", [("a.png", png_bomb())])):
        if upload.suffix == ".png":
            upload.write_bytes(png_bomb())
        with pytest.raises(PictureTooLarge, match="pixels"):
            list(frames.picture_frames(upload if upload.suffix == ".zip" else [upload], limits))


def test_a_picture_that_needs_more_memory_than_there_is_is_a_failure(tmp_path: Path) -> None:
    upload = write_zip(tmp_path / "a.zip", [("a.png", png_bomb())])
    with pytest.raises(JobFailure) as caught:
        list(frames.picture_frames(upload, dataclasses.replace(SMALL, max_pixels=1 << 30)))
    assert caught.value.code == "decoding_limit"


def test_a_header_that_claims_little_does_not_open_the_door(tmp_path: Path, hear: Count) -> None:
    # Ogg tells its length at its end, WebM where it was told to: this one says nothing.
    path = write_media(tmp_path / "a.webm", noise(1, 3 * 48000), 48000, codec="libopus", options={"live": "1"})
    assert inside.probe(path, LIMITS).duration_s is None
    assert hear(path, LIMITS) == 3 * 48000
    with pytest.raises(TooLong):
        hear(path, MediaLimits(max_duration_s=2.0))


def lying_wav(path: Path) -> Path:
    """A WAV of 5 s whose header claims 0.1 s."""
    content = bytearray(write_wav(path, noise(1, 5 * 8000), 8000, "PCM_16").read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = (1600).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    return path


def test_what_is_decoded_counts_not_what_the_header_says(tmp_path: Path, hear: Count) -> None:
    path = lying_wav(tmp_path / "a.wav")
    limits = MediaLimits(max_duration_s=2.0)
    assert inside.probe(path, limits).duration_s == pytest.approx(0.1)
    # The rest is no sound by the format's rules; all that matters is that the limit holds.
    assert hear(path, limits) <= 2 * 8000


def test_a_header_that_claims_much_is_refused(tmp_path: Path, probe: Probe) -> None:
    path = write_wav(tmp_path / "a.flac", noise(1, 48000), 48000, "PCM_16")
    content = bytearray(path.read_bytes())
    # The lower 32 of the 36 bits that count the samples (RFC 9639, section 8.2).
    content[22:26] = b"\xff" * 4
    path.write_bytes(bytes(content))
    with pytest.raises(TooLong, match="lasts 89478 s"):
        probe(path, LIMITS)


def test_a_transport_stream_is_held_to_the_limits_though_its_streams_are_unknown_at_first(
    tmp_path: Path, probe: Probe, look: Count
) -> None:
    path = write_media(tmp_path / "a.ts", noise(2, 48000), 48000, video=Video(25, width=320, height=240))
    assert probe(path, LIMITS).width == 320
    assert look(path, LIMITS) == 2
    limits = MediaLimits(max_pixels=320 * 240 - 1)
    with pytest.raises(PictureTooLarge):
        probe(path, limits)
    with pytest.raises(PictureTooLarge):
        look(path, limits)


def test_too_many_streams_are_refused(tmp_path: Path, probe: Probe) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        for stream in [out.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in range(65)]:
            frame = av.AudioFrame("s16", "mono", 100)
            frame.sample_rate, frame.pts = 8000, 0
            out.mux(stream.encode(frame))
    with pytest.raises(Unsupported, match="65 streams"):
        probe(path, LIMITS)


def test_zips_are_held_to_their_limits(tmp_path: Path, look: Count) -> None:
    bomb = write_zip(tmp_path / "bomb.zip", [("a.bmp", b"\0" * 20_000_000)], packed=True)
    with pytest.raises(PictureTooLarge, match="200 times its size"):
        look(bomb, SMALL)
    many = write_zip(tmp_path / "many.zip", [(f"{i}.txt", b"") for i in range(1100)])
    with pytest.raises(TooManyFrames, match="entries"):
        look(many, MediaLimits(max_images=5))
    pictures_of_six = write_zip(tmp_path / "six.zip", [(f"{i}.png", image_bytes(i)) for i in range(6)])
    with pytest.raises(TooManyFrames, match="6 pictures; at most 5"):
        look(pictures_of_six, MediaLimits(max_images=5))
    with pytest.raises(PictureTooLarge, match="MiB"):
        look(pictures_of_six, MediaLimits(max_image_bytes=100))


@pytest.mark.parametrize("content", [b"", b"not a video" * 500, bytes(range(256)) * 40], ids=["empty", "text", "bytes"])
def test_what_is_no_media_is_refused_without_a_path(tmp_path: Path, probe: Probe, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaUnreadable) as caught:
        probe(path, LIMITS)
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.__cause__ is None
