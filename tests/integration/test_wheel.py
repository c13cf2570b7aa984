"""A wheel built from the tree installs and runs: what an editable install would hide."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import soundfile

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SIZE_LIMIT = 60 << 20  # bytes


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_everything_that_runs_is_inside_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    wanted = {
        "app/page/index.html",
        "models/weights/nmf-bases.safetensors",
        "models/weights/report-bases.safetensors",
        "models/weights/miml.safetensors",
        "worker/example/duet.mp4",
        "worker/example/duet_left.wav",
        "worker/example/LICENSE.md",
        "app/py.typed",
    }
    assert wanted <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"app", "models", "worker"}
    assert wheel.stat().st_size < SIZE_LIMIT


def test_it_installs_and_runs(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    python = home / "bin" / "python"
    # The dependencies of this environment, but not its editable Duetto: .pth files within such a path are not read.
    (folder,) = home.glob("lib/python3*/site-packages")
    (folder / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--ignore-installed", wheel], check=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("DUETTO_") and name != "PYTHONPATH"
    } | {"DUETTO_TAGGER": "efficientnet-lite2", "DUETTO_OFFLINE": "1"}
    where = subprocess.run(
        [python, "-c", "import app, models, worker; print(app.__file__, models.__file__, worker.__file__)"],
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
