"""The arrows between the packages, and what the web process loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from app import methods
from app.instruments import INSTRUMENT_NAMES, INSTRUMENTS
from models import device, separators, taggers
from models import instruments as models_instruments

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "app": {"worker", "models", "torch", "torchvision", "librosa", "av", "numpy", "soundfile"},
    "duetto": {"app", "worker", "models", "pydantic", "rich", "fastapi", "celery", "redis", "torch"},
    "models": {"app", "duetto", "worker", "fastapi", "celery", "kombu", "redis", "uvicorn"},
}


def imported_by(path: Path) -> set[str]:
    """The top-level packages that a file imports anywhere in it, lazily or for types too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called.endswith(("import_module", "__import__")):
                found.add(str(node.args[0].value).split(".")[0])
    return found


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_arrows_point_one_way(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 1
    wrong = {str(path.relative_to(ROOT)): sorted(imported_by(path) & FORBIDDEN[package]) for path in files}
    assert {path: names for path, names in wrong.items() if names} == {}


def test_the_instruments_are_those_of_models() -> None:
    ours = [(one.index, one.name, one.imagenet_id, one.imagenet_name) for one in INSTRUMENTS]
    theirs = [(one.index, one.name, one.imagenet_id, one.imagenet_name) for one in models_instruments.INSTRUMENTS]
    assert ours == theirs
    assert INSTRUMENT_NAMES == models_instruments.NAMES


def test_the_methods_are_those_of_models() -> None:
    assert (separators.AUTO, *separators.NAMES) == methods.SEPARATORS
    assert (taggers.AUTO, *taggers.NAMES) == methods.TAGGERS
    assert separators.BEST == methods.BEST_SEPARATOR
    assert {device.AUTO, *device.NAMES} == set(get_args(methods.DeviceName))


def loaded_by(program: str) -> set[str]:
    """The top-level packages that a process has loaded after `program`."""
    program += "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))\n"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def test_the_web_process_loads_no_science() -> None:
    loaded = loaded_by(
        "from app.main import create_app\n"
        "from app.settings import Settings\n"
        "create_app(Settings(redis_url='redis://localhost:1/0')).openapi()\n"
    )
    assert loaded & {"torch", "torchvision", "numpy", "scipy", "librosa", "av", "models", "worker", "celery"} == set()


def test_the_client_loads_nothing_of_the_service() -> None:
    service = {"app", "worker", "models", "torch", "numpy", "soundfile", "pydantic", "celery", "redis", "av"}
    # httpx too waits until there is a client: `import duetto` alone takes some hundredths of a second.
    assert loaded_by("import duetto") & {*service, "httpx", "anyio"} == set()
    loaded = loaded_by("import duetto\nduetto.Client().close()\nduetto.AsyncClient()")
    assert loaded & service == set()
    assert {"duetto", "httpx", "anyio"} <= loaded
