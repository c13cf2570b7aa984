"""What a file is, by its first bytes."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from app.errors import CorruptZip, EmptyFile, TooManyImages, UnsupportedMedia
from app.uploads import (
    SNIFF_BYTES,
    TAKEN,
    TITLE_CHARACTERS,
    Field,
    Format,
    check_format,
    check_zip,
    display_title,
    sniff,
)


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), "red").save(buffer, kind)
    return buffer.getvalue()


def sound(kind: str, subtype: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(4410, np.float32), 44100, format=kind, subtype=subtype)
    return buffer.getvalue()


def video(kind: str, codec: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (video("mp4", "mpeg4"), Format.MP4),
        (video("mov", "mpeg4"), Format.MP4),
        (video("matroska", "mpeg4"), Format.MATROSKA),
        (video("avi", "mpeg4"), Format.AVI),
        (sound("WAV", "PCM_16"), Format.WAV),
        (sound("WAVEX", "PCM_24"), Format.WAV),
        (sound("RF64", "PCM_16"), Format.WAV),
        (sound("FLAC", "PCM_16"), Format.FLAC),
        (sound("OGG", "VORBIS"), Format.OGG),
        (sound("MP3", "MPEG_LAYER_III"), Format.MP3),
        (picture("JPEG"), Format.JPEG),
        (picture("PNG"), Format.PNG),
        (picture("WEBP"), Format.WEBP),
        (picture("BMP"), Format.BMP),
        (archive({"1.png": b"x"}), Format.ZIP),
        (archive({}), Format.ZIP),
        (struct.pack(">I4s", 8, b"wide") + struct.pack(">I4s", 3 << 30, b"mdat"), Format.MP4),
        (struct.pack(">I4s", 3 << 30, b"mdat"), Format.MP4),
    ],
)
def test_real_files_are_known(data: bytes, expected: Format) -> None:
    assert sniff(data[:SNIFF_BYTES]) is expected


@pytest.mark.parametrize(
    "data",
    [
        b"ffconcat version 1.0\nfile secret.mp4\n",
        b"I'm free to be a text, whatever my name is",
        b"GIF89a" + bytes(58),
        b"%PDF-1.7\n" + bytes(55),
        b"\x7fELF" + bytes(60),
        b"BMP is what I am called, not what I am",
        "\ufeffUTF-16 text".encode("utf-16"),
        b"\xff\xf1\x50\x80" + bytes(60),
        b"RIFF\x00\x00\x00\x00RMID" + bytes(50),
        b"#EXTM3U\n#EXT-X-VERSION:3\n",
        b"\x00",
        bytes(64),
    ],
)
def test_others_are_not(data: bytes) -> None:
    assert sniff(data) is None
    for field in Field:
        with pytest.raises(UnsupportedMedia, match=f"`{field}`"):
            check_format(field, data, "duet.mp4")


def test_a_known_file_in_the_wrong_field_is_told_where_it_belongs() -> None:
    with pytest.raises(UnsupportedMedia, match=r"is wav.*belongs in `audio`"):
        check_format(Field.VIDEO, sound("WAV", "PCM_16")[:SNIFF_BYTES], "duet.mp4")
    with pytest.raises(UnsupportedMedia, match=r"is png.*belongs in `frames`"):
        check_format(Field.AUDIO, picture("PNG")[:SNIFF_BYTES], "a.wav")


def test_an_empty_file_is_told() -> None:
    with pytest.raises(EmptyFile, match="empty"):
        check_format(Field.VIDEO, b"", "duet.mp4")


def test_every_format_is_taken_somewhere() -> None:
    assert frozenset().union(*TAKEN.values()) == frozenset(Format)


@pytest.mark.parametrize(
    ("filename", "title"),
    [
        ("duet.mp4", "duet.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\Duo é.mp4", "Duo é.mp4"),
        ("a\x00b\r\nSet-Cookie: x\x1b[31m.mp4", "a b Set-Cookie: x [31m.mp4"),
        ("\u202egnp.mp4", "gnp.mp4"),
        ("", "untitled"),
        ("///", "untitled"),
        ("x" * 500, "x" * TITLE_CHARACTERS),
    ],
)
def test_a_title_is_for_display_only(filename: str, title: str) -> None:
    assert display_title(filename) == title


class TestZip:
    def check(self, tmp_path: Path, data: bytes, max_images: int = 10) -> None:
        path = tmp_path / "frames.zip"
        path.write_bytes(data)
        with path.open("rb") as file:
            check_zip(file, max_images)

    def test_a_sound_one_passes(self, tmp_path: Path) -> None:
        self.check(tmp_path, archive({f"{index}.png": b"x" for index in range(10)}))

    def test_too_many_files(self, tmp_path: Path) -> None:
        with pytest.raises(TooManyImages, match="11 files; at most 10"):
            self.check(tmp_path, archive({f"{index}.png": b"x" for index in range(11)}))

    def test_a_huge_directory_is_not_read(self, tmp_path: Path) -> None:
        with pytest.raises(TooManyImages, match="directory"):
            self.check(tmp_path, archive({f"{'n' * 200}{index}": b"" for index in range(100)}))

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(CorruptZip, match="no file"):
            self.check(tmp_path, archive({"folder/": b""}))

    def test_encrypted(self, tmp_path: Path) -> None:
        data = bytearray(archive({"1.png": b"x"}))
        data[data.index(b"PK\x01\x02") + 8] |= 1
        with pytest.raises(CorruptZip, match="encrypted"):
            self.check(tmp_path, bytes(data))

    @pytest.mark.parametrize("cut", [5, 30, 90, 120])
    def test_cut_short(self, tmp_path: Path, cut: int) -> None:
        data = archive({"1.png": b"x" * 40})
        assert cut < len(data)
        with pytest.raises(CorruptZip, match="damaged"):
            self.check(tmp_path, data[:-cut])

    def test_directory_damaged(self, tmp_path: Path) -> None:
        data = archive({"1.png": b"x" * 40}).replace(b"PK\x01\x02", b"PK\x09\x09")
        with pytest.raises(CorruptZip, match="damaged"):
            self.check(tmp_path, data)
