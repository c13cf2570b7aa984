"""The steps that make the example, as far as they need no package from outside."""

from __future__ import annotations

import importlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
RATE = 44_100


@pytest.fixture(scope="module")
def making() -> Iterator[Any]:
    """The modules in examples/making, which belong to no installed package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        names = ("check", "errors", "film", "pictures", "sources", "tune")
        yield SimpleNamespace(**{name: importlib.import_module(f"making.{name}") for name in names})


def noise(samples: int) -> Any:
    return np.random.default_rng(1).integers(-9000, 9000, samples).astype(np.int16)


def test_the_tune_ends_before_the_sound_does(making: Any) -> None:
    for part in (making.tune.trumpet(), making.tune.guitar()):
        assert [note.start for note in part] == sorted(note.start for note in part)
        assert part[-1].start * making.tune.BEAT_S < making.tune.SAMPLES / making.tune.SAMPLE_RATE
    last = making.tune.trumpet()[-1]
    assert (last.start + last.beats) * making.tune.BEAT_S < making.tune.SAMPLES / making.tune.SAMPLE_RATE


def test_both_parts_are_in_the_range_of_their_instruments(making: Any) -> None:
    assert all(52 <= note.pitch <= 84 for note in making.tune.trumpet())
    assert all(40 <= note.pitch <= 83 for note in making.tune.guitar())


def test_balance_makes_one_loudness_and_never_clips(making: Any) -> None:
    chance = np.random.default_rng(3)
    left, right = making.tune.balance(5 * chance.normal(size=9000), 0.01 * chance.normal(size=9000))
    assert left.dtype == right.dtype == np.int16
    total = left.astype(int) + right
    assert np.abs(total).max() == pytest.approx(making.tune.MIX_PEAK * 32767, abs=2)
    assert np.std(left) == pytest.approx(np.std(right), rel=0.01)


def test_levels_follow_the_sound_and_fall_off_slowly(making: Any) -> None:
    sound = np.concatenate([np.zeros(RATE), noise(RATE), np.zeros(RATE)]).astype(np.int16)
    level = making.pictures.levels(sound, RATE, 75)
    assert level.shape == (75,)
    assert level[:25].max() == 0
    assert level[26:50].min() > 0.9
    assert 0 < level[-1] < level[52] < level[50] < 1


@pytest.mark.parametrize("samples", [RATE, 20 * 1024, 777])
def test_a_film_s_sound_is_read_back_in_line(making: Any, tmp_path: Path, samples: int) -> None:
    sound = noise(samples)
    path = tmp_path / "film.mp4"
    pictures = [np.full((48, 64, 3), shade, dtype=np.uint8) for shade in range(0, 250, 10)]
    making.film.write_mp4(path, pictures, (64, 48), 25, sound, RATE)
    assert making.check.delay(making.film.read_sound(path), sound / 32768) == 0
    assert len(list(making.film.read_pictures(path))) == len(pictures)


@pytest.mark.parametrize("late", [-1024, -1, 1, 1024])
def test_a_late_or_early_sound_is_refused(making: Any, late: int) -> None:
    mix = noise(RATE)
    with pytest.raises(making.errors.CheckFailed, match=f"is {late} samples late"):
        making.check.check_sound(np.roll(mix, late) / np.float32(32768), mix)


def test_a_short_or_noisy_sound_is_refused(making: Any) -> None:
    mix = noise(RATE)
    with pytest.raises(making.errors.CheckFailed, match="has 44099 samples, its stems 44100"):
        making.check.check_sound(mix[1:] / np.float32(32768), mix)
    with pytest.raises(making.errors.CheckFailed, match="dB from left"):
        making.check.check_sound((mix + noise(RATE)[::-1]) / np.float32(32768), mix)


def test_without_apt_get_the_message_says_where_to_go(
    making: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(making.errors.SourceUnavailable, match=r"apt-get is not on this machine.*Debian"):
        making.sources.debian_files("some-package", ["usr/share/x"], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def tools(folder: Path, **scripts: str) -> str:
    folder.mkdir()
    for name, script in scripts.items():
        tool = folder / name.replace("_", "-")
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_a_failing_apt_get_is_quoted(making: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tools(tmp_path / "bin", apt_get="echo 'E: Unable to locate package' >&2; exit 100")
    monkeypatch.setenv("PATH", path)
    with pytest.raises(making.errors.SourceUnavailable, match=r"Unable to locate package.*apt-get update"):
        making.sources.debian_files("some-package", ["usr/share/x"], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Debian package's content as dpkg-deb streams it: usr/share/x, and something else."""
    archive = tmp_path / "content.tar"
    with tarfile.open(archive, "w") as tar:
        for name, content in (("./usr/share/other", b"other"), ("./usr/share/x", b"wanted")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path = tools(tmp_path / "bin", apt_get="touch some-package_1_all.deb", dpkg_deb=f"exec cat '{archive}'")
    monkeypatch.setenv("PATH", path)
    return tmp_path / "cache"


def test_only_what_is_wanted_is_unpacked(making: Any, package: Path) -> None:
    (found,) = making.sources.debian_files("some-package", ["usr/share/x"], package)
    assert found.read_bytes() == b"wanted"
    assert [path for path in package.rglob("*") if path.is_file()] == [found]


def test_a_package_without_the_file_is_refused(making: Any, package: Path) -> None:
    with pytest.raises(making.errors.SourceUnavailable, match=r"does not hold usr/share/y"):
        making.sources.debian_files("some-package", ["usr/share/y"], package)
