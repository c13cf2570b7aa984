"""The notebook of the examples runs, and what it shows is kept small; stems and labels show themselves."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from models.duet import DuetLabels, SideLabel, Step
from models.notebook import stems_html, warnings_html
from models.stems import Stems
from tests.media import noise

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"


def shown(document: str) -> str:
    """All that the cells of a notebook show."""
    cells = json.loads(document)["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    return "".join(json.dumps(output) for output in outputs)


def test_the_notebook_runs(tmp_path: Path) -> None:
    # In a process of its own: the kernel's client warns, and leaves an event loop behind.
    program = (
        "import sys; sys.path.insert(0, 'examples')\n"
        "import make_notebook as it, nbformat\n"
        "done = it.run(nbformat.read(it.NOTEBOOK, 4))\n"
        "nbformat.write(done, sys.argv[1])\n"
    )
    result = tmp_path / "done.ipynb"
    environment = os.environ | {"IPYTHONDIR": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", program, result], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    text = shown(result.read_text(encoding="utf-8"))
    assert "<b>trumpet</b> on the left" in text
    assert text.count("<audio") == 3
    sdr = re.findall(r"the stems \[ ?([\d.]+) +([\d.]+)\]", text)
    assert [float(value) > 8.0 for value in sdr[0]] == [True, True]


def test_the_notebook_is_kept_with_pictures_and_without_sounds() -> None:
    document = NOTEBOOK.read_text(encoding="utf-8")
    assert len(document) < 1 << 20
    text = shown(document)
    assert text.count("data:image/png") == 3
    assert "image/png" in text
    assert "<audio" not in text
    assert str(ROOT) not in document


def test_stems_are_a_tuple_that_knows_who_plays() -> None:
    left, right = noise(2, 1_000), noise(2, 1_000, seed=1)
    stems = Stems(left, right, 48_000, ("flute", "acoustic_guitar"))
    one, other = stems
    assert one is stems.left is left
    assert other is stems.right is right
    assert repr(stems) == "Stems(flute left, acoustic_guitar right: 2 x 1000 samples at 48000 Hz)"
    again = pickle.loads(pickle.dumps(stems))  # noqa: S301 - our own
    assert (again.players, again.sample_rate) == (stems.players, 48_000)
    np.testing.assert_array_equal(again.right, right)


@pytest.mark.parametrize(("rate", "channels", "kind"), [(44_100, 2, "mpeg"), (96_000, 1, "flac"), (48_000, 6, "flac")])
def test_stems_show_and_play_themselves(rate: int, channels: int, kind: str) -> None:
    left, right = noise(channels, rate, level=0.05), noise(channels, rate, seed=1, level=0.05)
    html = Stems(left, right, rate, ("flute", "acoustic_guitar"))._repr_html_()
    pictures = re.findall(r'<img alt="([^"]+)"[^>]*src="data:image/png;base64,([^"]+)"', html)
    assert [alt.split(",")[0] for alt, _ in pictures] == [
        "Spectrogram of the recording",
        "Spectrogram of the left stem",
        "Spectrogram of the right stem",
    ]
    with Image.open(io.BytesIO(base64.b64decode(pictures[0][1]))) as image:
        assert image.format == "PNG"
    sounds = re.findall(rf'<audio controls preload="none" src="data:audio/{kind};base64,([^"]+)"', html)
    heard = [soundfile.read(io.BytesIO(base64.b64decode(sound)), always_2d=True) for sound in sounds]
    assert [(samples.shape, found) for samples, found in heard] == [((rate, channels), rate)] * 3
    if kind == "flac":
        assert np.abs(heard[1][0].T - left).max() < 1e-3


def test_loud_stems_are_turned_down_together_and_long_ones_cut() -> None:
    loud = np.full((1, 70 * 8_000), 2.0, np.float32)
    html = stems_html(loud, -0.5 * loud, 96_000, ("flute", "cello"))
    sounds = [
        soundfile.read(io.BytesIO(base64.b64decode(sound)))[0] for sound in re.findall(r'flac;base64,([^"]+)"', html)
    ]
    assert [float(sound.mean().round(2)) for sound in sounds] == [0.5, 1.0, -0.5]
    long = stems_html(noise(1, 70 * 8_000), noise(1, 70 * 8_000), 8_000, ("flute", "cello"))
    first = re.findall(r'mpeg;base64,([^"]+)"', long)[0]
    assert soundfile.info(io.BytesIO(base64.b64decode(first))).frames == 60 * 8_000


def test_stems_without_a_sample_say_so() -> None:
    empty = np.zeros((1, 0), np.float32)
    assert "without a sample" in Stems(empty, empty, 8_000, ("flute", "cello"))._repr_html_()


def test_labels_show_themselves() -> None:
    left = np.full((2, 8), 0.05, np.float32)
    right = np.full((2, 8), 0.07, np.float32)
    right[:, 1] = (0.5, 0.7)
    labels = DuetLabels(
        SideLabel("violin", 0.93, "request"), SideLabel("acoustic_guitar", 0.6, "tagger"), Step.HALVES, left, right
    )
    html = labels._repr_html_()
    assert "<b>violin</b> on the left (named), <b>acoustic guitar</b> on the right (0.60)" in html
    assert "<td>acoustic guitar</td><td>0.05</td><td><b>0.60</b></td>" in html
    assert html.count("<tr>") == 9
    assert warnings_html(["a < b"]) == "<ul><li>a &lt; b</li></ul>"
    assert warnings_html([]) == ""
