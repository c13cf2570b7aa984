"""Sources: chosen by name, fetched by the registry's own client, nothing left behind when that fails."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from models.errors import SourceUnavailable
from models.instruments import NAMES
from models.training.sources import SOURCES, fetch, fingerprint, select_sources, sound_files

BY_NAME = {source.name: source for source in SOURCES}


def _tool(folder: Path, name: str, script: str) -> None:
    """A program `name` that does as the shell `script` says, first on the PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_every_instrument_has_two_origins() -> None:
    for name in NAMES:
        assert sum(name in source.instruments for source in SOURCES) >= 2


def test_every_source_names_its_licence_and_whom_to_credit() -> None:
    assert len(BY_NAME) == len(SOURCES)
    assert all(source.licence and source.credit for source in SOURCES)


def test_sources_are_chosen_by_name() -> None:
    assert select_sources(["all"]) == SOURCES
    assert select_sources(["none"]) == ()
    assert [source.name for source in select_sources(["generaluser", "fluidr3"])] == ["fluidr3", "generaluser"]
    with pytest.raises(SourceUnavailable, match=r"no training source is called 'strad'.*fluidr3"):
        select_sources(["fluidr3", "strad"])


@pytest.mark.parametrize(("name", "tool"), [("fluidr3", "apt-get"), ("tonejs-cello", "npm")])
def test_a_missing_tool_is_named(name: str, tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(SourceUnavailable, match=f"'{tool}' is not on this machine.*--sources"):
        fetch(BY_NAME[name], tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_failing_tool_is_quoted_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tool(tmp_path / "bin", "npm", "echo half > part.tgz; echo 'no network' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SourceUnavailable, match=r"no network.*Check the network"):
        fetch(BY_NAME["tonejs-cello"], tmp_path / "cache")
    assert list((tmp_path / "cache" / "sources").iterdir()) == []


def test_a_damaged_package_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tool(tmp_path / "bin", "npm", "echo rubbish > cello.tgz")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SourceUnavailable, match="damaged"):
        fetch(BY_NAME["tonejs-cello"], tmp_path / "cache")
    assert list((tmp_path / "cache" / "sources").iterdir()) == []


@pytest.mark.parametrize("holds", ["A4.wav", "A4.txt"])
def test_a_package_is_unpacked_once_and_looked_into(
    holds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "cello.tgz"
    with tarfile.open(package, "w:gz") as tar:
        member = tarfile.TarInfo(f"package/{holds}")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"RIFF"))
    _tool(tmp_path / "bin", "npm", f"cp '{package}' . && echo . >> '{tmp_path / 'calls'}'")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    source, cache = BY_NAME["tonejs-cello"], tmp_path / "cache"
    if holds.endswith(".txt"):
        with pytest.raises(SourceUnavailable, match=r"came without '\*.wav'"):
            fetch(source, cache)
        assert list((cache / "sources").iterdir()) == []
        return
    folder = fetch(source, cache)
    assert [path.name for path in sound_files(source, folder)] == ["A4.wav"]
    assert fetch(source, cache) == folder
    assert (tmp_path / "calls").read_text() == ".\n"


def test_a_fingerprint_depends_on_names_and_bytes_but_not_on_order(tmp_path: Path) -> None:
    first, second = tmp_path / "a.wav", tmp_path / "b.wav"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    before = fingerprint([first, second])
    assert fingerprint([second, first]) == before
    second.write_bytes(b"too")
    assert fingerprint([first, second]) != before
