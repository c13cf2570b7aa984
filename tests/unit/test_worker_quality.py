"""What a job's result says of how clean its stems are, from the sound to the terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from app.console import print_summary
from app.jobs.record import JobOptions
from app.settings import Settings
from models.certainty import WARNED_DB
from tests.media import write_wav
from tests.unit.signals import harmonic
from worker.engines import Engines
from worker.media.limits import MediaLimits
from worker.pipeline import run_pipeline
from worker.source import Source


@pytest.fixture(scope="module")
def engines() -> Engines:
    return Engines(Settings(offline=True))


def run(engines: Engines, folder: Path, sound: NDArray[np.float32], separator: str) -> dict[str, Any]:
    path = write_wav(folder / "mix.wav", sound[None], 44_100)
    options = JobOptions(left="cello", right="flute", separator=separator)
    return run_pipeline(Source(audio=path), folder, options, engines, MediaLimits())


@pytest.mark.parametrize("separator", ["learned", "nmf"])
def test_each_stem_has_its_likely_sdr(engines: Engines, tmp_path: Path, separator: str) -> None:
    result = run(engines, tmp_path, harmonic(131.0, 3.0, 44_100, 24) + harmonic(880.0, 3.0, 44_100, 4), separator)
    for side, name in (("left", "cello"), ("right", "flute")):
        told = result["quality"][side]
        assert told.keys() == {"likely_sdr_db", "meaning"}
        assert -10.0 <= told["likely_sdr_db"] <= 30.0
        assert f"the {name}" in told["meaning"]
        # Rounded to a tenth: at the limit itself either may be.
        warned = any(f"The {side} stem ({name}) is likely poor" in text for text in result["warnings"])
        assert warned == (told["likely_sdr_db"] < WARNED_DB) or told["likely_sdr_db"] == WARNED_DB


def test_a_separator_that_does_not_say_has_none(engines: Engines, tmp_path: Path) -> None:
    result = run(engines, tmp_path, harmonic(131.0, 2.0, 44_100, 24), "report")
    assert result["quality"] is None
    assert result["warnings"] == []


def shown(result: dict[str, Any]) -> str:
    out = io.StringIO()
    print_summary(result, output=Console(file=out, width=160))
    return out.getvalue()


def test_the_terminal_shows_it_where_it_is_known() -> None:
    label = {"instrument": "cello", "probability": 0.9, "source": "tagger"}
    result: dict[str, Any] = {"labels": {"left": label, "right": label}, "separator": "report"}
    assert "Likely SDR" not in shown(result)
    assert shown(result | {"quality": None}) == shown(result)
    quality = {"left": {"likely_sdr_db": 8.25, "meaning": ""}, "right": {"likely_sdr_db": -1.0, "meaning": ""}}
    lines = shown(result | {"quality": quality}).splitlines()
    assert "Likely SDR" in lines[1]
    assert any("left" in line and "8.2 dB" in line for line in lines)
    assert any("right" in line and "-1.0 dB" in line for line in lines)
