"""A wheel built from the tree installs and runs: what an editable install would hide."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import soundfile
from packaging.requirements import Requirement

import duetto
from app.stack import Stack
from tests.media import write_wav
from tests.unit.signals import noise

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SIZE_LIMIT = 60 << 20  # bytes


PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def built(source: Path, folder: Path) -> Path:
    """The wheel of a project."""
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT, tmp_path_factory.mktemp("wheel"))


def test_everything_that_runs_is_inside_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    wanted = {
        "app/page/index.html",
        "app/page/main.js",
        "app/page/style.css",
        "app/page/vendor/wavesurfer.js",
        "app/page/vendor/wavesurfer.LICENSE.txt",
        "models/weights/nmf-bases.safetensors",
        "models/weights/report-bases.safetensors",
        "models/weights/miml.safetensors",
        "models/weights/hearing.safetensors",
        "worker/example/duet.mp4",
        "worker/example/duet_left.wav",
        "worker/example/LICENSE.md",
        "app/py.typed",
        "duetto/__init__.py",
        "duetto/py.typed",
    }
    assert wanted <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"app", "duetto", "models", "worker"}
    assert "duetto/pyproject.toml" not in names
    assert wheel.stat().st_size < SIZE_LIMIT


def install(python: Path, wheel: Path) -> None:
    """Install a wheel, and nothing that it needs, into the environment of `python`."""
    pip = [*PIP, "--python", python, "install", "--no-deps", "--no-index", "--ignore-installed"]
    subprocess.run([*pip, wheel], check=True)


def test_it_installs_and_runs(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    python = home / "bin" / "python"
    # The dependencies of this environment, but not its editable Duetto: .pth files within such a path are not read.
    (folder,) = home.glob("lib/python3*/site-packages")
    (folder / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    install(python, wheel)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("DUETTO_") and name != "PYTHONPATH"
    } | {"DUETTO_TAGGER": "efficientnet-lite2", "DUETTO_OFFLINE": "1"}
    where = subprocess.run(
        [python, "-c", "import app, duetto, models, worker\nfor m in (app, duetto, models, worker): print(m.__file__)"],
        cwd=tmp_path, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert all(path.startswith(str(home)) for path in where.stdout.split())
    demo = subprocess.run(
        [home / "bin" / "duetto", "demo", "-o", tmp_path / "stems"],
        cwd=tmp_path, env=environment, check=False, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "SDR" in demo.stdout
    result = json.loads((tmp_path / "stems" / "result.json").read_text(encoding="utf-8"))
    assert result["labels"]["left"]["instrument"] == "trumpet"
    assert soundfile.info(tmp_path / "stems" / "left.wav").frames == result["sound"]["samples"]
    assert len(list((tmp_path / "stems" / "pictures").glob("*.png"))) == 5


def needed_by(requirements: list[str]) -> set[str]:
    """The distributions of this environment that `requirements`, without their extras, lead to."""
    found: set[str] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        requirement = todo.pop()
        if requirement.name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found.add(requirement.name)
            todo += map(Requirement, metadata.requires(requirement.name) or [])
    return found


CLIENT = """
import sys
import duetto

seen = []
with duetto.Client(sys.argv[1]) as client:
    duet = client.separate(audio=sys.argv[2], left="cello", right="flute", on_progress=seen.append)
    print(duetto.__version__, duetto.__file__, duet.left.instrument, seen[-1])
    try:
        duet.left.read()
    except duetto.PackageMissing as error:
        print(error)
assert not {"app", "worker", "models", "torch", "numpy"} & set(sys.modules)
"""


def test_the_client_alone_needs_httpx_and_nothing_of_the_service(tmp_path: Path, stack: Stack) -> None:
    wheel = built(ROOT / "duetto", tmp_path / "wheel")
    home = tmp_path / "home"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (folder,) = home.glob("lib/python3*/site-packages")
    install(home / "bin" / "python", wheel)
    with zipfile.ZipFile(wheel) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {
            "duetto",
            f"duetto_client-{duetto.__version__}.dist-info",
        }
        assert {"duetto/py.typed", "duetto/LICENSE"} <= set(archive.namelist())
    requirements = next(iter(metadata.distributions(path=[str(folder)]))).requires
    needed = needed_by(requirements or [])
    assert {"httpx", "anyio"} <= needed
    assert len(needed) < 12
    for name in needed:
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            (folder / top).symlink_to(Path(str(distribution.locate_file(top))))
    sound = write_wav(tmp_path / "duo.wav", noise(1, 9_000), 44_100)
    done = subprocess.run(
        [home / "bin" / "python", "-I", "-W", "error", "-c", CLIENT, stack.url, sound],
        cwd=tmp_path, check=False, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ran, missing = done.stdout.splitlines()
    assert ran == f"{duetto.__version__} {folder}/duetto/__init__.py cello download 100 %"
    assert missing.startswith("arrays need NumPy and soundfile: `pip install")
