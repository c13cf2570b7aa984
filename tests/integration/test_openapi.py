"""The OpenAPI document and the running service agree: schemathesis, with every check that it has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.keys import make_entry, make_key
from app.settings import Settings
from app.stack import running_stack
from tests.fuzz.campaign import fuzz_settings

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
EXAMPLES = 6  # of each call and phase; coverage makes hundreds more by rule
SEED = 1


def settings_in(folder: Path, **more: object) -> Settings:
    # Held answers and a queue would only make the run long.
    return fuzz_settings(folder, max_wait_s=0.05, workers=1, **more)


def run_schemathesis(url: str, folder: Path, phases: str, config: str = "") -> None:
    """Run every check on every call of the service at `url`."""
    settings = folder / "schemathesis.toml"
    settings.write_text(f'hooks = "tests.integration.openapi_hooks"\nmax-stream-events = 3\n{config}', encoding="utf-8")
    done = subprocess.run(
        [
            SCHEMATHESIS, "--config-file", settings, "run", f"{url}/openapi.json", "--checks", "all",
            "--phases", phases,
            "--max-examples", str(EXAMPLES), "--seed", str(SEED), "--generation-database", "none", "--no-color",
            "--request-timeout", "30", "--no-shrink", "--continue-on-failure",
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    calls = re.search(r"(\d+) selected / (\d+) total", done.stdout)
    assert calls is not None
    assert calls[1] == calls[2]
    assert f"Tested: {calls[1]}" in done.stdout


def test_an_open_service_keeps_its_word(tmp_path: Path) -> None:
    with running_stack(settings_in(tmp_path)) as stack:
        run_schemathesis(stack.url, tmp_path, "examples,coverage,fuzzing,stateful")
        assert httpx.get(f"{stack.url}/v1/jobs", trust_env=False).json()["jobs"]


def test_a_service_with_keys_keeps_its_word(tmp_path: Path) -> None:
    key = make_key()
    with running_stack(settings_in(tmp_path, api_keys=make_entry("alice", key))) as stack:
        with_key = f"[auth.openapi]\nApiKey = {{ bearer = {json.dumps(key)} }}\n"
        run_schemathesis(stack.url, tmp_path, "examples,coverage", with_key)
        headers = {"Authorization": f"Bearer {key}"}
        assert httpx.get(f"{stack.url}/v1/jobs", headers=headers, trust_env=False).json()["jobs"]
