"""Sound: exact where the format is exact, in place where the container has something to say about time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.media import Video, delay_of, noise, write_media, write_wav
from worker.errors import JobGone, MediaUnreadable, NoSound, TooLong, UnsupportedMedia
from worker.media.decoding.sound import SoundDecoder
from worker.media.limits import MediaLimits

LIMITS = MediaLimits()
PRIMING = 1024


def heard(path: Path, limits: MediaLimits = LIMITS, seconds: float = 1.0) -> NDArray[np.float32]:
    with SoundDecoder(path, limits) as reader:
        blocks = list(reader.blocks(seconds))
        size = round(seconds * reader.sample_rate)
        assert all(block.shape == (reader.channels, size) for block in blocks[:-1])
        assert all(block.dtype == np.float32 for block in blocks)
        whole = np.concatenate(blocks, axis=1)
        # A second pass gives the same, whatever the size of its blocks.
        again = np.concatenate(list(reader.blocks(0.3)), axis=1)
    np.testing.assert_array_equal(whole, again)
    return whole


def level(sound: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(sound))))


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("seconds", [0.2, 1.0, 1.2345])
def test_wav_and_flac_pass_bit_exactly(tmp_path: Path, rate: int, channels: int, seconds: float) -> None:
    sound = noise(channels, round(rate * seconds))
    np.testing.assert_array_equal(heard(write_wav(tmp_path / "a.wav", sound, rate)), sound)
    flac = write_wav(tmp_path / "a.flac", sound, rate, "PCM_24")
    np.testing.assert_array_equal(heard(flac), soundfile.read(str(flac), dtype="float32", always_2d=True)[0].T)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_format_has_full_scale_one(tmp_path: Path, subtype: str) -> None:
    path = write_wav(tmp_path / "a.wav", noise(2, 5001, level=0.5), 44100, subtype)
    expected = soundfile.read(str(path), dtype="float32", always_2d=True)[0].T
    np.testing.assert_array_equal(heard(path), expected)
    assert 0.4 < level(heard(path)) < 0.6


def test_what_is_beyond_full_scale_is_kept_and_what_is_not_finite_is_dropped(tmp_path: Path) -> None:
    sound = noise(2, 4000)
    sound[0, 10], sound[1, 20], sound[0, 30] = 3.5, np.nan, np.inf
    result = heard(write_wav(tmp_path / "a.wav", sound, 44100))
    assert result[0, 10] == np.float32(3.5)
    assert (result[1, 20], result[0, 30]) == (0.0, 0.0)


CODECS = {
    "mp4": ("aac", "libx264", [8000, 22050, 44100, 48000, 96000]),
    "mov": ("pcm_s16le", "libx264", [8000, 22050, 44100, 48000, 96000, 192000]),
    "mkv": ("aac", "libx264", [22050, 44100, 48000, 96000]),
    "webm": ("libopus", "libvpx", [48000]),
    "avi": ("pcm_s16le", "mpeg4", [8000, 22050, 44100, 48000, 96000, 192000]),
}
GRID = [(suffix, rate, channels) for suffix, row in CODECS.items() for rate in row[2] for channels in (1, 2, 6)]


@pytest.mark.parametrize(("suffix", "rate", "channels"), GRID)
def test_every_container_keeps_rate_channels_and_place(tmp_path: Path, suffix: str, rate: int, channels: int) -> None:
    codec, picture, _ = CODECS[suffix]
    sound = noise(channels, round(0.7 * rate) + 1)
    video = Video(frames=5, codec=picture)
    path = write_media(tmp_path / f"a.{suffix}", sound, rate, codec=codec, video=video, bit_rate=256_000)
    result = heard(path)
    assert result.shape[0] == channels
    # At most the padding of the last AAC packet is added; PCM and Opus end where they end.
    most = 1023 if codec == "aac" else 0
    assert 0 <= result.shape[1] - sound.shape[1] <= most
    assert delay_of(sound, result) == 0
    if codec.startswith("pcm"):
        np.testing.assert_allclose(result, sound, atol=1.01 / 2**15)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi", "mov"])
def test_a_fifth_of_a_second_passes_in_every_container(tmp_path: Path, suffix: str) -> None:
    codec, picture, _ = CODECS[suffix]
    sound = noise(2, 9600)
    path = write_media(tmp_path / f"a.{suffix}", sound, 48000, codec=codec, video=Video(5, codec=picture))
    assert 9600 <= heard(path).shape[1] < 9600 + 1024


def test_aac_priming_is_dropped_where_an_edit_list_names_it(tmp_path: Path) -> None:
    sound = noise(2, 30001)
    result = heard(write_media(tmp_path / "a.mp4", sound))
    assert delay_of(sound, result) == 0
    # Measured: 29,696 samples up to the last packet, and all of that.
    assert result.shape[1] == 30720


def test_aac_priming_stays_where_nothing_names_it(tmp_path: Path) -> None:
    sound = noise(2, 30001)
    result = heard(write_media(tmp_path / "a.mp4", sound, options={"use_editlist": "0"}))
    assert delay_of(sound, result) == PRIMING
    assert result.shape[1] == 31744


@pytest.mark.parametrize("options", [{"use_editlist": "0"}, {"movflags": "frag_keyframe+empty_moov"}])
def test_without_edit_list_sound_lines_up_with_the_picture_by_time_stamps(
    tmp_path: Path, options: dict[str, str]
) -> None:
    # B-frames delay the picture by 2 frames here, and the sound's own time stamps make up for it.
    sound = noise(2, 30001)
    path = write_media(tmp_path / "a.mp4", sound, video=Video(17), options=options)
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.start_time is not None
        assert video.time_base is not None
        picture = float(video.start_time * video.time_base)
    assert picture > 0.05
    assert abs(delay_of(sound, heard(path)) - picture * 44100) < 2


def test_a_late_start_is_silence_up_to_the_tick(tmp_path: Path) -> None:
    sound = noise(2, 48000)
    for suffix, codec, picture in [
        ("mkv", "aac", "libx264"),
        ("webm", "libopus", "libvpx"),
        ("mov", "pcm_s16le", "libx264"),
    ]:
        video = Video(40, codec=picture)
        path = write_media(tmp_path / f"a.{suffix}", sound, 48000, codec=codec, video=video, start_s=0.5)
        result = heard(path)
        # Matroska's ticks are 1 ms.
        assert abs(delay_of(sound, result, most=48000) - 24000) <= 96, suffix
        assert level(result[:, :22000]) < 1e-3


def test_sound_alone_that_starts_late_starts_at_once(tmp_path: Path) -> None:
    # The origin is the container's start; with no picture there is nothing to line up with.
    sound = noise(2, 48000)
    path = write_media(tmp_path / "a.mkv", sound, 48000, codec="flac", start_s=0.5)
    assert heard(path).shape == (2, 48000)


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "aac"), ("mkv", "flac"), ("webm", "libopus")])
def test_a_gap_is_filled_with_silence(tmp_path: Path, suffix: str, codec: str) -> None:
    rate, hole = 48000, 12000
    sound = noise(2, 3 * rate)
    size = {"aac": 1024, "flac": 4608, "libopus": 960}[codec]
    at = 10 * size
    video = Video(40, codec="libvpx" if suffix == "webm" else "libx264")
    path = write_media(tmp_path / f"a.{suffix}", sound, rate, codec=codec, video=video, gap=(at, hole))
    result = heard(path)
    assert abs(result.shape[1] - sound.shape[1] - hole) <= 1024
    assert level(result[:, at + 2048 : at + hole - 2048]) < 1e-3
    after = at + 6 * 1024
    assert abs(delay_of(sound[:, after:], result[:, after:], most=2 * hole) - hole) <= 48


def test_jitter_of_millisecond_ticks_neither_drops_nor_adds(tmp_path: Path) -> None:
    # 4,608 samples at 44.1 kHz are 104.49 ms: every time stamp in Matroska is rounded.
    sound = noise(1, 44100 * 5 + 17)
    result = heard(write_media(tmp_path / "a.mkv", sound, codec="flac", video=Video(5)))
    assert result.shape == sound.shape
    np.testing.assert_allclose(result, sound, atol=1.01 / 2**15)


def test_mp3_and_opus_files_end_to_the_sample(tmp_path: Path) -> None:
    sound = noise(2, 30001)
    for name, codec, rate in [
        ("a.mp3", "libmp3lame", 44100),
        ("a.ogg", "libopus", 48000),
        ("a.webm", "libopus", 48000),
    ]:
        result = heard(write_media(tmp_path / name, sound, rate, codec=codec))
        assert result.shape == sound.shape, name
        assert delay_of(sound, result) == 0, name


def _adts(path: Path, parts: list[tuple[NDArray[np.float32], int]]) -> Path:
    """Raw AAC whose rate and channels change midway: each part is an ADTS file of its own."""
    content = b""
    for i, (sound, rate) in enumerate(parts):
        content += write_media(path.with_name(f"part{i}.aac"), sound, rate).read_bytes()
    path.write_bytes(content)
    return path


def test_another_rate_and_layout_midway_become_the_first(tmp_path: Path) -> None:
    path = _adts(tmp_path / "a.aac", [(noise(2, 44100), 44100), (noise(1, 24000), 24000), (noise(2, 44100), 44100)])
    with SoundDecoder(path, LIMITS) as reader:
        assert (reader.sample_rate, reader.channels) == (44100, 2)
        result = np.concatenate(list(reader.blocks()), axis=1)
    # Each part has 1,024 samples of priming and up to as many of padding; one second of each is sound.
    assert abs(result.shape[1] - 3 * 44100) < 3 * 3 * 2048
    for part in (0.3, 1.4, 2.5):
        at = int(part * 44100)
        assert 0.03 < level(result[:, at : at + 10000]) < 0.2


def test_a_cover_picture_is_no_obstacle(tmp_path: Path) -> None:
    sound = noise(2, 44100)
    assert delay_of(sound, heard(write_media(tmp_path / "a.m4a", sound, container="ipod"))) == 0


def _damage(path: Path, start: float, end: float, value: int = 0xFF) -> None:
    content = bytearray(path.read_bytes())
    a, b = int(len(content) * start), int(len(content) * end)
    content[a:b] = bytes([value]) * (b - a)
    path.write_bytes(bytes(content))


def test_damage_in_the_middle_becomes_silence_and_the_rest_stays_in_place(tmp_path: Path) -> None:
    sound = noise(2, 48000 * 4)
    path = write_media(tmp_path / "a.mp4", sound, 48000, bit_rate=256_000)
    whole = heard(path)
    _damage(path, 0.4, 0.5)
    result = heard(path)
    assert result.shape == whole.shape
    np.testing.assert_allclose(result[:, :48000], whole[:, :48000], atol=1e-6)
    np.testing.assert_allclose(result[:, -48000:], whole[:, -48000:], atol=1e-6)


def test_damage_at_the_end_keeps_the_length(tmp_path: Path) -> None:
    sound = noise(2, 48000 * 2)
    path = write_media(tmp_path / "a.mp4", sound, 48000, bit_rate=256_000, options={"movflags": "faststart"})
    whole = heard(path)
    _damage(path, 0.9, 1.0)
    result = heard(path)
    assert abs(result.shape[1] - whole.shape[1]) <= 1024
    np.testing.assert_allclose(result[:, :48000], whole[:, :48000], atol=1e-6)


def test_a_file_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    sound = noise(2, 48000 * 2)
    path = write_media(tmp_path / "a.mkv", sound, 48000, codec="flac")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    result = heard(path)
    assert 0.3 * sound.shape[1] < result.shape[1] < 0.6 * sound.shape[1]
    np.testing.assert_allclose(result, sound[:, : result.shape[1]], atol=1.01 / 2**15)


def test_all_damaged_is_unreadable(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", noise(2, 48000), 48000, options={"movflags": "faststart"})
    content = path.read_bytes()
    start = content.index(b"mdat") + 4
    path.write_bytes(content[:start] + b"\xff" * (len(content) - start))
    with pytest.raises(MediaUnreadable, match="cannot be decoded"):
        heard(path)


@pytest.mark.parametrize("content", [b"", b"this is not a video\n" * 100, b"\0" * 4096], ids=["empty", "text", "zeros"])
def test_what_is_no_media_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaUnreadable) as caught:
        heard(path)
    assert str(tmp_path) not in caught.value.message


def test_an_mp4_without_its_index_is_unreadable(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", noise(2, 48000), 48000)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"moov") - 4])
    with pytest.raises(MediaUnreadable):
        heard(path)


def test_a_video_without_sound_has_no_sound(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", video=Video(10))
    with pytest.raises(NoSound), SoundDecoder(path, LIMITS):
        pass


def test_a_codec_that_nothing_decodes_is_unsupported(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mkv", noise(2, 48000), 48000, codec="flac")
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_FLIC"))
    with pytest.raises(UnsupportedMedia, match="codec"):
        heard(path)


def test_an_empty_wav_has_no_sound(tmp_path: Path) -> None:
    with pytest.raises(NoSound):
        heard(write_wav(tmp_path / "a.wav", np.zeros((2, 0), np.float32), 44100))


def test_more_than_eight_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia, match="10 channels"):
        heard(write_wav(tmp_path / "a.wav", noise(10, 1000), 44100))


def test_a_sample_rate_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia, match="samples a second"):
        heard(write_wav(tmp_path / "a.wav", noise(1, 1000), 1000))


def test_a_deleted_upload_says_so(tmp_path: Path) -> None:
    with pytest.raises(JobGone):
        heard(tmp_path / "gone.mp4")


def _samples_until_refused(blocks: Iterator[NDArray[np.float32]]) -> int:
    counts: list[int] = []
    with pytest.raises(TooLong, match="2 s that are allowed"):
        counts.extend(block.shape[1] for block in blocks)
    return sum(counts)


def test_the_limit_holds_while_decoding_whatever_the_header_says(tmp_path: Path) -> None:
    limits = MediaLimits(max_duration_s=2.0)
    path = write_wav(tmp_path / "a.wav", noise(1, 8000 * 5), 8000)
    content = bytearray(path.read_bytes())
    # The data chunk claims no sound at all; FFmpeg reads on, since streams still being written say so.
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\0\0\0\0"
    path.write_bytes(bytes(content))
    with SoundDecoder(path, limits) as reader:
        assert _samples_until_refused(reader.blocks(0.5)) <= 2 * 8000


def test_a_gap_cannot_exceed_the_limit_either(tmp_path: Path) -> None:
    sound = noise(1, 8000)
    path = write_media(tmp_path / "a.mkv", sound, 8000, codec="flac", video=Video(5), gap=(4608, 8000 * 100_000))
    with SoundDecoder(path, MediaLimits(max_duration_s=2.0)) as reader:
        assert _samples_until_refused(reader.blocks(0.5)) <= 2 * 8000


def test_time_that_begins_anew_goes_on(tmp_path: Path) -> None:
    # Two transport streams one after the other, as a camera writes them: the second starts at 0 again.
    sound = noise(2, 48000 * 3)
    one = write_media(tmp_path / "one.ts", sound, 48000, codec="aac", container="mpegts").read_bytes()
    path = tmp_path / "two.ts"
    path.write_bytes(one + one)
    assert abs(heard(path).shape[1] - 2 * sound.shape[1]) < 8 * 1024
