"""The package of examples/plugin/, really installed: at the command line, and in a worker whose API has it not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from app.broker import connect
from app.presence import About, Added, Presence
from app.settings import Settings
from app.stack import Stack, running_stack
from models.metrics import bss_eval
from tests.media import write_wav
from tests.unit.evaluation_set import write_set
from tests.unit.signals import harmonic

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PLUGIN = {"package": "duetto-example", "version": "1.0.0"}
RATE = 48_000
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package, put there by pip."""
    folder = tmp_path_factory.mktemp("plugin") / "site-packages"
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps", "--no-index",
         "--no-build-isolation", "--target", folder, ROOT / "examples" / "plugin"],
        check=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def environment(site: Path) -> dict[str, str]:
    """The environment of a process for which the package is installed."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("DUETTO_")}
    return known | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "DUETTO_OFFLINE": "1", "DUETTO_THREADS": "1"}


@pytest.fixture(scope="module")
def players() -> NDArray[np.float32]:
    """A cello and a flute of 6 s, one a channel of the recording: (2, samples) float32."""
    return np.stack([harmonic(110.0, 6.0, RATE, partials=3), harmonic(1_760.0, 6.0, RATE, partials=9)])


@pytest.fixture(scope="module")
def recording(players: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("sound") / "duet.wav", players, RATE)


def duetto(environment: dict[str, str], *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *map(str, arguments)],
        env=environment | more, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip


def read(path: Path) -> NDArray[np.float32]:
    """A stem (channels, samples)."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


def cards(folder: Path) -> Path:
    """A picture of two players: before the left one a card of the cello's hue, before the right one of the flute's."""
    picture = Image.new("RGB", (160, 90), (90, 90, 90))
    draw = ImageDraw.Draw(picture)
    # Two and four eighths of the circle of hues: a yellow green, and a cyan.
    draw.rectangle((30, 40, 60, 80), fill=(110, 220, 0))
    draw.rectangle((110, 40, 140, 80), fill=(0, 220, 220))
    path = folder / "players.png"
    picture.save(path)
    return path


def test_at_the_command_line(environment: dict[str, str], players: NDArray[np.float32], tmp_path: Path) -> None:
    mono = write_wav(tmp_path / "mono.wav", players.sum(axis=0, keepdims=True), RATE)
    made = duetto(
        environment, "separate", mono, "-o", tmp_path / "out", "--separator", "register", "--left", "cello", "--right",
        "flute",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "separator: register" in made.stdout
    result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert result["provenance"]["separator"] == {"name": "register", "steepness": 4.0, "plugin": PLUGIN}
    stems = np.concatenate([read(tmp_path / "out" / name) for name in ("left.wav", "right.wav")])
    assert bss_eval(players, stems).sdr.min() > 10.0


def test_the_doctor_sees_it(environment: dict[str, str], tmp_path: Path) -> None:
    told = duetto(environment, "doctor", "--json", "--data", tmp_path / "data", "--port", "0")
    texts = [finding["text"] for finding in json.loads(told.stdout)["findings"] if finding["part"] == "plugins"]
    assert texts == [
        "the separator 'channels' of duetto-example 1.0.0 can be loaded",
        "the separator 'register' of duetto-example 1.0.0 can be loaded",
        "the tagger 'cards' of duetto-example 1.0.0 can be loaded",
    ]


def test_it_is_evaluated_like_any_other(environment: dict[str, str], tmp_path: Path) -> None:
    test_set = write_set(tmp_path / "set")
    made = duetto(
        environment, "evaluate", test_set, "-o", tmp_path / "out", "--labels", "true", "--separator", "register",
        "channels", "--jobs", 2,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert document["provenance"]["separators"]["register"]["plugin"] == PLUGIN
    # A cello below a flute; the channels of a mono recording tell nothing.
    assert len(list((tmp_path / "out" / "register" / "result_audio").iterdir())) == 4
    assert len(list((tmp_path / "out" / "channels" / "result_audio").iterdir())) == 4


@pytest.fixture(scope="module")
def stack(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service whose worker has the package and whose API, in this process, has not."""
    folder = tmp_path_factory.mktemp("service")
    settings = Settings(
        data_dir=folder / "data", cache_dir=folder / "cache", port=0, workers=1, threads=1, offline=True, redis_url=None
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", environment["PYTHONPATH"])
        with running_stack(settings) as running:
            yield running


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=PATIENCE_S, trust_env=False) as client:
        deadline = time.monotonic() + PATIENCE_S
        while "cards" not in [method["name"] for method in client.get("/v1/methods").json()["taggers"]]:
            assert time.monotonic() < deadline, "the worker does not say what it has"
            time.sleep(0.05)
        yield client


def finished(http: httpx.Client, accepted: httpx.Response) -> dict[str, Any]:
    assert accepted.status_code == 202, accepted.text
    for _ in range(10):
        job: dict[str, Any] = http.get(accepted.headers["Location"], params={"wait": 30}).json()
        if job["state"] not in ("queued", "running"):
            return job
    raise AssertionError(f"the job does not end: {job}")


def test_a_job_by_an_api_that_has_it_not(
    http: httpx.Client, recording: Path, players: NDArray[np.float32], tmp_path: Path
) -> None:
    answer = http.post(
        "/v1/jobs",
        files={"frames": ("p.png", cards(tmp_path).read_bytes()), "audio": ("duet.wav", recording.read_bytes())},
        data={"separator": "channels", "tagger": "cards"},
    )
    job = finished(http, answer)
    assert job["state"] == "succeeded", job
    result = http.get(job["links"]["result"]).json()
    labels = {side: (label["instrument"], label["source"]) for side, label in result["labels"].items()}
    assert labels == {"left": ("cello", "tagger"), "right": ("flute", "tagger")}
    assert (result["tagger"], result["separator"]) == ("cards", "channels")
    assert result["provenance"]["separator"] == {"name": "channels", "plugin": PLUGIN}
    tagger = result["provenance"]["tagger"]
    assert (tagger["name"], tagger["plugin"], tagger["vivid"]) == ("cards", PLUGIN, 0.4)
    for side, own, other in (("left", 0, 1), ("right", 1, 0)):
        path = tmp_path / f"{side}.wav"
        path.write_bytes(http.get(job["links"][side]).content)
        stem = read(path)
        assert stem.shape == players.shape
        np.testing.assert_allclose(stem[own], players[own], atol=1e-3)
        assert np.abs(stem[other]).max() < 1e-3


def test_the_list_names_what_the_worker_has(http: httpx.Client) -> None:
    found = http.get("/v1/methods").json()
    added = [method for kind in ("separators", "taggers") for method in found[kind] if method["package"] != "duetto"]
    assert added == [
        {"name": name, "package": "duetto-example", "version": "1.0.0"} for name in ("channels", "register", "cards")
    ]


def test_a_worker_that_has_it_not_says_so(http: httpx.Client, stack: Stack, recording: Path) -> None:
    # Another worker had it, and this one takes the job.
    ghost = Added(kind="separator", name="ghost", package="elsewhere", version="1")
    with closing(connect(stack.settings)) as broker:
        Presence(broker).speak("other@box", About(host="box", version="1", slots=1, added=(ghost,)))
    sound = {"audio": ("duet.wav", recording.read_bytes())}
    job = finished(http, http.post(
        "/v1/jobs", files=sound, data={"separator": "ghost", "left": "cello", "right": "flute"}))  # fmt: skip
    assert (job["state"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "plugin_unusable", True)
    assert "cannot use the separator 'ghost': no package that is installed there adds one" in job["error"]["message"]
