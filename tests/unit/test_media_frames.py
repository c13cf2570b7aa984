"""Frames: the right ones, upright, from videos, images and zips; and what is refused."""

from __future__ import annotations

import warnings
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.media import Video, image_bytes, mark_of, noise, png_bomb, write_media, write_wav, write_zip
from worker.errors import FramesUnreadable, JobGone, NoPicture, PictureTooLarge, TooLong, TooManyFrames
from worker.media.choice import MAX_SIDE_PX, MOST_FRAMES, VideoFrame, halving, picked
from worker.media.decoding.pictures import picture_frames
from worker.media.decoding.video import video_frames
from worker.media.limits import MediaLimits

LIMITS = MediaLimits()


@given(st.integers(0, 3000), st.integers(1, 300))
def test_picked_is_even_and_complete(n: int, most: int) -> None:
    indices = picked(n, most)
    assert len(indices) == min(n, most)
    assert all(0 <= i < n for i in indices)
    steps = np.diff(indices)
    if len(steps):
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1
    if n > most > 1:
        assert (indices[0], indices[-1]) == (0, n - 1)


def test_picked_examples() -> None:
    assert picked(3, 200) == [0, 1, 2]
    assert picked(9, 3) == [0, 4, 8]
    assert picked(9, 1) == [4]
    assert picked(0, 5) == []
    with pytest.raises(ValueError, match="most=0"):
        picked(5, 0)


def indices_of(frames: list[VideoFrame]) -> list[int]:
    """Which frame each picture shows."""
    return [mark_of(frame.image) for frame in frames]


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp4", "libx264"), ("mkv", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4"), ("ts", "libx264")],
)
@pytest.mark.parametrize("gop", [5, 250])
def test_frames_come_at_2_4_a_second(tmp_path: Path, suffix: str, codec: str, gop: int) -> None:
    path = write_media(tmp_path / f"a.{suffix}", video=Video(75, codec=codec, gop=gop))
    frames = list(video_frames(path, LIMITS))
    # 3 s at 2.4 are 7 whole steps: times 0, 0.417, ... and the frame on the screen at each.
    assert [frame.time_s for frame in frames] == pytest.approx([i / 2.4 for i in range(7)], abs=0.01)
    assert indices_of(frames) == [int(i / 2.4 * 25 + 1e-9) for i in range(7)]
    assert all(frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8 for frame in frames)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("webm", "libvpx"), ("ts", "libx264")]
)
@pytest.mark.parametrize("gop", [5, 250])
def test_of_many_frames_a_few_are_spaced_evenly(tmp_path: Path, suffix: str, codec: str, gop: int) -> None:
    # With gop 5 the reader seeks, with 250 it cannot; the frames are the same.
    path = write_media(tmp_path / f"a.{suffix}", video=Video(75, fps=10, codec=codec, gop=gop))
    frames = list(video_frames(path, LIMITS, most=5))
    # 18 frames at 2.4 a second, of which 0, 4, 9, 13, 17.
    expected = [int(i / 2.4 * 10 + 1e-9) for i in picked(18, 5)]
    assert indices_of(frames) == expected


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 25, 33, 199, 200])
def test_rounds_halve_the_gaps(n: int) -> None:
    rounds = halving(n)
    assert sorted(i for places in rounds for i in places) == list(range(n))
    assert 1 <= len(rounds[0]) <= 4
    seen: list[int] = []
    step = rounds[0][1] - rounds[0][0] if len(rounds[0]) > 1 else 1
    for places in rounds:
        assert places == sorted(places)
        seen = sorted(seen + places)
        assert {b - a for a, b in pairwise(seen)} <= {step}
        step //= 2


def test_rounds_need_something() -> None:
    with pytest.raises(ValueError, match="one thing at least"):
        halving(0)


@pytest.mark.parametrize("gop", [5, 250])
def test_rounds_give_the_same_frames_in_another_order(tmp_path: Path, gop: int) -> None:
    path = write_media(tmp_path / "a.mp4", video=Video(75, gop=gop))
    in_order = list(video_frames(path, LIMITS))
    in_rounds = list(video_frames(path, LIMITS, in_rounds=True))
    order = [place for places in halving(len(in_order)) for place in places]
    assert [frame.time_s for frame in in_rounds] == [in_order[place].time_s for place in order]
    assert indices_of(in_rounds) == [indices_of(in_order)[place] for place in order]


def test_images_come_in_rounds_too(tmp_path: Path) -> None:
    paths = write_images(tmp_path, [f"f{i}.png" for i in range(9)])
    frames = list(picture_frames(paths, LIMITS, in_rounds=True))
    assert indices_of(frames) == [0, 4, 8, 2, 6, 1, 3, 5, 7]
    assert frames[1].time_s == pytest.approx(4 / 2.4)


def test_of_more_pictures_than_the_most_some_are_chosen_in_rounds(tmp_path: Path) -> None:
    paths = write_images(tmp_path, [f"{i:03}.png" for i in range(MOST_FRAMES + 30)])
    frames = list(picture_frames(paths, LIMITS, in_rounds=True))
    assert len(frames) == MOST_FRAMES
    # The first four are spread over all of them.
    assert [round(frame.time_s * 2.4 / (MOST_FRAMES + 29), 1) for frame in frames[:4]] == [0.0, 0.3, 0.6, 1.0]


def test_times_share_their_origin_with_the_sound(tmp_path: Path) -> None:
    # Without edit list the picture starts 80 ms after the sound.
    path = write_media(tmp_path / "a.mp4", noise(1, 44100), video=Video(25), options={"use_editlist": "0"})
    assert next(video_frames(path, LIMITS)).time_s == pytest.approx(0.08, abs=0.001)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_clip_shorter_than_a_step_gives_one_frame(tmp_path: Path, count: int) -> None:
    path = write_media(tmp_path / "a.mp4", video=Video(count))
    assert indices_of(list(video_frames(path, LIMITS))) == [0]


def test_a_slow_video_shows_what_is_on_the_screen(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", video=Video(3, fps=1))
    frames = list(video_frames(path, LIMITS))
    assert indices_of(frames) == [int(i / 2.4) for i in range(7)]
    assert frames[3].time_s == pytest.approx(1.25)


def corner(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """White in the upper left quarter."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = 255
    return image


def white_corner(image: NDArray[np.uint8]) -> tuple[str, str]:
    rows, columns = image.mean(axis=(1, 2)), image.mean(axis=(0, 2))
    half_y, half_x = len(rows) // 2, len(columns) // 2
    return (
        "upper" if rows[:half_y].mean() > rows[half_y:].mean() else "lower",
        "left" if columns[:half_x].mean() > columns[half_x:].mean() else "right",
    )


@pytest.mark.parametrize(
    ("rotation", "mirrored", "shape", "where"),
    [
        (0, False, (48, 64), ("upper", "left")),
        # Counterclockwise by 90 degrees the upper left goes to the lower left.
        (90, False, (64, 48), ("lower", "left")),
        (-90, False, (64, 48), ("upper", "right")),
        (180, False, (48, 64), ("lower", "right")),
        (0, True, (48, 64), ("upper", "right")),
    ],
)
def test_a_phone_held_any_way_gives_upright_frames(
    tmp_path: Path, rotation: float, mirrored: bool, shape: tuple[int, int], where: tuple[str, str]
) -> None:
    video = Video(3, rotation=rotation, mirrored=mirrored, image=corner)
    image = next(video_frames(write_media(tmp_path / "a.mp4", video=video), LIMITS)).image
    assert image.shape == (*shape, 3)
    assert white_corner(image) == where


def test_oblong_pixels_become_square(tmp_path: Path) -> None:
    video = Video(3, width=64, height=48, options={"x264-params": "sar=2/1"})
    image = next(video_frames(write_media(tmp_path / "a.mp4", video=video), LIMITS)).image
    assert image.shape == (48, 128, 3)


def test_large_frames_are_shrunk(tmp_path: Path) -> None:
    video = Video(2, width=1920, height=800, codec="mpeg4")
    image = next(video_frames(write_media(tmp_path / "a.mp4", video=video), LIMITS)).image
    assert image.shape == (533, MAX_SIDE_PX, 3)


def test_sound_alone_has_no_picture(tmp_path: Path) -> None:
    with pytest.raises(NoPicture):
        list(video_frames(write_wav(tmp_path / "a.wav", noise(1, 8000), 8000), LIMITS))


def test_limits_on_length_and_number_hold(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", video=Video(75))
    with pytest.raises(TooLong):
        list(video_frames(path, MediaLimits(max_duration_s=2)))
    with pytest.raises(TooManyFrames, match="more than 50 frames"):
        list(video_frames(path, MediaLimits(max_video_frames=50)))


def test_a_damaged_middle_still_gives_the_rest(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", video=Video(75, gop=5, options={"bf": "0"}))
    content = bytearray(path.read_bytes())
    start, end = content.index(b"mdat") + 4, content.rindex(b"moov") - 4
    third = (end - start) // 3
    content[start + third : start + 2 * third] = b"\xff" * third
    path.write_bytes(bytes(content))
    frames = list(video_frames(path, LIMITS))
    assert 3 <= len(frames) <= 7
    assert indices_of(frames[:1]) == [0]


def test_a_track_of_noise_is_unreadable(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", video=Video(10), options={"movflags": "faststart"})
    content = path.read_bytes()
    start = content.index(b"mdat") + 4
    path.write_bytes(content[:start] + b"\xff" * (len(content) - start))
    with pytest.raises(FramesUnreadable):
        list(video_frames(path, LIMITS))


# Images ------------------------------------------------------------------------------------------


def write_images(folder: Path, names: list[str], kind: str = "PNG") -> list[Path]:
    paths = []
    for i, name in enumerate(names):
        (folder / name).write_bytes(image_bytes(i, kind))
        paths.append(folder / name)
    return paths


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("BMP", "bmp")])
def test_images_come_in_natural_order(tmp_path: Path, kind: str, suffix: str) -> None:
    paths = write_images(tmp_path, [f"f{i}.{suffix}" for i in range(12)], kind)
    frames = list(picture_frames(sorted(paths), LIMITS))
    assert indices_of(frames) == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx([i / 2.4 for i in range(12)])


def test_a_zip_gives_the_same_as_its_files(tmp_path: Path) -> None:
    entries = [(f"clip/{i}.jpg", image_bytes(i, "JPEG")) for i in range(12)]
    entries += [
        ("clip/", b""),
        ("notes.txt", b"hello"),
        ("__MACOSX/clip/1.jpg", b"x"),
        (".hidden.png", b"x"),
        ("in.zip", b"x"),
    ]
    source = write_zip(tmp_path / "a.zip", entries)
    assert indices_of(list(picture_frames(source, LIMITS))) == list(range(12))
    assert indices_of(list(picture_frames(source, LIMITS, most=3))) == [0, 6, 11]


def test_a_zip_entry_that_points_elsewhere_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = write_zip(folder / "a.zip", [("../../evil.png", image_bytes(4))])
    assert indices_of(list(picture_frames(source, LIMITS))) == [4]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "in"]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    path = tmp_path / "a.jpg"
    Image.fromarray(corner(0, 64, 48)).save(path, exif=exif)
    image = next(picture_frames([path], LIMITS)).image
    assert image.shape == (64, 48, 3)
    assert white_corner(image) == ("upper", "right")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    if mode == "I;16":
        Image.fromarray(np.full((48, 64), 0x8000, np.uint16)).save(path)
    else:
        Image.new("L", (64, 48), 128).convert(mode).save(path)
    image = next(picture_frames([path], LIMITS)).image
    assert image.shape == (48, 64, 3)
    assert abs(float(image.mean()) - 128) < 3


def test_large_images_are_shrunk(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG"):
        path = tmp_path / f"a.{kind}"
        Image.new("RGB", (3000, 2000), (9, 9, 9)).save(path, kind)
        assert next(picture_frames([path], LIMITS)).image.shape == (853, MAX_SIDE_PX, 3)


def test_a_picture_bomb_is_refused_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_bomb())
    source = write_zip(tmp_path / "a.zip", [("a.png", png_bomb())])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for upload in ([path], source):
            with pytest.raises(PictureTooLarge, match="pixels"):
                list(picture_frames(upload, LIMITS))
        # More than twice the limit, at which Pillow itself gives up.
        with pytest.raises(PictureTooLarge, match="pixels"):
            list(picture_frames([path], MediaLimits(max_pixels=1000)))
    assert Image.MAX_IMAGE_PIXELS == 89_478_485  # Pillow's own again


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", [("a.bmp", b"\0" * 20_000_000)], packed=True)
    with pytest.raises(PictureTooLarge, match="200 times its size"):
        list(picture_frames(source, LIMITS))


def test_an_entry_over_the_limit_is_refused_though_its_size_lies(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", [("a.bmp", noise(1, 50_000).tobytes())])
    with pytest.raises(PictureTooLarge, match="MiB"):
        list(picture_frames(source, MediaLimits(max_image_bytes=100_000)))
    (tmp_path / "a.bmp").write_bytes(b"\0" * 100_001)
    with pytest.raises(PictureTooLarge, match="MiB"):
        list(picture_frames([tmp_path / "a.bmp"], MediaLimits(max_image_bytes=100_000)))


def test_too_many_images_are_refused(tmp_path: Path) -> None:
    limits = MediaLimits(max_images=5)
    source = write_zip(tmp_path / "a.zip", [(f"{i}.png", image_bytes(i)) for i in range(6)])
    with pytest.raises(TooManyFrames, match="6 pictures; at most 5"):
        list(picture_frames(source, limits))
    many = write_zip(tmp_path / "b.zip", [(f"{i}.txt", b"") for i in range(1100)])
    with pytest.raises(TooManyFrames, match="entries"):
        list(picture_frames(many, limits))


def test_a_zip_without_pictures_has_none(tmp_path: Path) -> None:
    for entries in ([], [("a.txt", b"x")]):
        with pytest.raises(NoPicture, match="no pictures"):
            list(picture_frames(write_zip(tmp_path / "a.zip", entries), LIMITS))
    with pytest.raises(NoPicture):
        list(picture_frames([], LIMITS))


def test_a_damaged_zip_is_unreadable(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", [(f"{i}.png", image_bytes(i)) for i in range(5)])
    whole = source.read_bytes()
    flipped = bytearray(whole)
    flipped[60:100] = b"\xff" * 40
    for content in (b"", b"no zip", whole[: len(whole) // 2], bytes(flipped)):
        source.write_bytes(content)
        with pytest.raises(FramesUnreadable) as caught:
            list(picture_frames(source, LIMITS))
        assert str(tmp_path) not in caught.value.message


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", [("a.png", image_bytes(1))])
    content = bytearray(source.read_bytes())
    content[content.index(b"PK\x03\x04") + 6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    source.write_bytes(bytes(content))
    with pytest.raises(FramesUnreadable, match="encrypted"):
        list(picture_frames(source, LIMITS))


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, image_bytes(3)[:60]])
def test_a_damaged_image_is_named_by_its_place(tmp_path: Path, content: bytes) -> None:
    paths = write_images(tmp_path, ["1.png", "2.png"])
    paths[1].write_bytes(content)
    with pytest.raises(FramesUnreadable, match="Picture 2 of 2"):
        list(picture_frames(paths, LIMITS))


def test_another_format_is_refused_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path, "TIFF")
    with pytest.raises(FramesUnreadable):
        list(picture_frames([path], LIMITS))


def test_a_compression_that_is_not_known_is_unreadable(tmp_path: Path) -> None:
    source = tmp_path / "a.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("a.png", image_bytes(1))
    content = bytearray(source.read_bytes())
    content[content.index(b"PK\x03\x04") + 8] = 99
    content[content.index(b"PK\x01\x02") + 10] = 99
    source.write_bytes(bytes(content))
    with pytest.raises(FramesUnreadable):
        list(picture_frames(source, LIMITS))


def test_deleted_uploads_say_so(tmp_path: Path) -> None:
    for upload in (tmp_path / "gone.zip", [tmp_path / "gone.png"]):
        with pytest.raises(JobGone):
            list(picture_frames(upload, LIMITS))
    with pytest.raises(JobGone):
        list(video_frames(tmp_path / "gone.mp4", LIMITS))
