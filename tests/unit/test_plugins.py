"""Separators and taggers of other packages: found by name, loaded by workers, kept to their word, blamed by name."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import ConfigurationError
from app.methods import AUTO, SEPARATORS, Kind
from app.plugins import check_name, installed, names
from app.routing import parse_gpu_jobs
from app.settings import Settings
from models.errors import Stopped
from models.separation import separate
from models.separators import AnySeparator, SoundSeparator
from models.surroundings import Surroundings
from models.taggers import SceneTagger
from tests.packages import SEPARATOR, SOUND_SEPARATOR, TAGGER, install
from tests.unit.signals import noise
from worker.doctor.plugins import check_plugins
from worker.engines import Engines
from worker.errors import JobFailure, PluginFailed, PluginUnusable, TimeLimit
from worker.failures import public_error
from worker.plugins import load_separator, load_tagger

HERE = Surroundings("cpu", Path("cache"), offline=True)
MIX = noise(2, 60_000)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that packages are installed in. What this process knows of plugins is looked up anew."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    installed.cache_clear()
    yield folder
    installed.cache_clear()


def separated(separator: AnySeparator, should_stop: Callable[[], bool] | None = None) -> list[Any]:
    return list(separate(MIX, 44_100, separator, "cello", "flute", should_stop=should_stop))


@pytest.mark.usefixtures("site")
class TestNoPlugins:
    def test_none_are_installed(self) -> None:
        assert names(Kind.SEPARATOR) == SEPARATORS
        with pytest.raises(ValueError, match="there is no 'quarter'; it is one of auto, "):
            check_name(Kind.SEPARATOR, "quarter")

    def test_settings_name_what_is_installed(self) -> None:
        with pytest.raises(ValueError, match="there is no 'quarter'; it is one of auto"):
            Settings(separator="quarter")
        with pytest.raises(ConfigurationError, match="is called 'quarter'"):
            parse_gpu_jobs("quarter")


class TestNames:
    def test_a_package_adds_one_of_each(self, site: Path) -> None:
        module = install(site, "their-package", "raise SystemExit('imported')", separators="quarter", taggers="eighth")
        assert names(Kind.SEPARATOR) == (*SEPARATORS, "quarter")
        assert check_name(Kind.TAGGER, "eighth") == "eighth"
        assert str(installed(Kind.TAGGER).plugins["eighth"]) == "tagger 'eighth' of their-package 1.0"
        assert Settings(separator="quarter", tagger="eighth").separator == "quarter"
        assert parse_gpu_jobs("quarter,nmf") == {"quarter", "nmf"}
        assert module not in sys.modules

    @pytest.mark.parametrize("name", ["nmf", AUTO])
    def test_none_may_take_our_names(self, site: Path, name: str) -> None:
        install(site, "their-package", SEPARATOR, separators=name)
        assert names(Kind.SEPARATOR) == SEPARATORS
        assert "their-package 1.0 adds a separator of the name" in installed(Kind.SEPARATOR).rejected[name]
        assert Engines(Settings()).separator(name).name in SEPARATORS

    def test_two_of_one_name_are_none(self, site: Path) -> None:
        install(site, "package-one", SEPARATOR, separators="quarter")
        install(site, "package-two", SEPARATOR, separators="quarter")
        with pytest.raises(ValueError, match=r"package-one 1\.0 and package-two 1\.0 each add a separator .*'quarter'"):
            check_name(Kind.SEPARATOR, "quarter")
        with pytest.raises(PluginUnusable, match=r"package-one 1\.0 and package-two 1\.0 each add .* uninstall one"):
            load_separator("quarter", HERE)

    @pytest.mark.parametrize("name", ["Quarter", "quarter/../..", "quarter@", "4th", "q" * 41, "quart er"])
    def test_a_name_that_cannot_be_one(self, site: Path, name: str) -> None:
        install(site, "their-package", SEPARATOR, separators=name)
        assert names(Kind.SEPARATOR) == SEPARATORS
        assert "wanted is a letter, then a-z" in installed(Kind.SEPARATOR).rejected[name]

    def test_the_command_line_takes_and_refuses_them(self, site: Path) -> None:
        install(site, "their-package", SEPARATOR, separators="quarter")

        def duetto(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "app", *arguments],
                env={"PYTHONPATH": f"{site}:{ROOT}"}, cwd=site, capture_output=True, text=True, check=False,
            )  # fmt: skip

        missing = duetto("separate", "no.mp4", "--separator", "quarter")
        assert (missing.returncode, "there is no file no.mp4" in missing.stderr) == (1, True), missing.stderr
        for command in ("separate", "evaluate"):
            wrong = duetto(command, "no.mp4", "--separator", "fifth")
            assert wrong.returncode == 2
            assert "there is no 'fifth'; it is one of auto, " in wrong.stderr
            assert ", quarter" in wrong.stderr


class TestSeparators:
    def test_one_of_magnitudes(self, site: Path) -> None:
        install(site, "their-package", SEPARATOR, separators="quarter")
        separator = load_separator("quarter", HERE)
        assert not isinstance(separator, SoundSeparator)
        left, right = separated(separator)
        np.testing.assert_allclose(left, 0.25 * MIX, atol=1e-6)
        assert np.abs(left + right - MIX).max() < 1e-6
        assert separator.name == "quarter"
        assert separator.parameters == {"gain": 0.25, "plugin": {"package": "their-package", "version": "1.0"}}
        assert separator.provenance == {"learnt_from": "nothing"}

    def test_one_of_sound(self, site: Path) -> None:
        install(site, "their-package", SOUND_SEPARATOR, separators="quarter")
        separator = load_separator("quarter", HERE)
        assert isinstance(separator, SoundSeparator)
        left, right = separated(separator)
        assert np.square(left - 0.25 * MIX).mean() < 1e-5 * np.square(MIX).mean()
        assert np.abs(left + right - MIX).max() < 1e-6
        assert separator.parameters == {"plugin": {"package": "their-package", "version": "1.0"}}

    def test_it_is_told_where_it_runs(self, site: Path) -> None:
        telling = SEPARATOR.replace("self.unpicklable", 'self.parameters = {"device": surroundings.device}; self.other')
        install(site, "their-package", telling, separators="quarter")
        assert load_separator("quarter", HERE).parameters["device"] == "cpu"

    def test_the_engines_keep_it(self, site: Path, tmp_path: Path) -> None:
        install(site, "their-package", SEPARATOR, separators="quarter")
        engines = Engines(Settings(separator="quarter", cache_dir=tmp_path))
        assert engines.separator("auto") is engines.separator("quarter")
        assert engines.separator("nmf").name == "nmf"
        with pytest.raises(PluginUnusable, match="cannot use the separator 'fifth': no package"):
            engines.separator("fifth")

    def test_another_process_makes_it_anew(self, site: Path) -> None:
        install(site, "their-package", SEPARATOR, separators="quarter")
        separator = load_separator("quarter", HERE)
        again = pickle.loads(pickle.dumps(separator))  # noqa: S301 - our own
        assert again is not separator
        assert again.parameters == separator.parameters

    def test_it_may_write_to_what_it_gets_and_give_the_same_array_again(self, site: Path) -> None:
        careless = SOUND_SEPARATOR.replace(
            "return sound * 0.25",
            """sound *= 0.25
        self.kept = getattr(self, "kept", sound)
        self.kept[:] = sound
        return self.kept""",
        )
        install(site, "their-package", SOUND_SEPARATOR, separators="quarter")
        install(site, "careless", careless, separators="careless")
        for one, other in zip(
            *(separated(load_separator(name, HERE)) for name in ("quarter", "careless")), strict=True
        ):
            np.testing.assert_array_equal(one, other)


class TestTaggers:
    def test_one(self, site: Path) -> None:
        install(site, "their-package", TAGGER, taggers="eighth")
        tagger = load_tagger("eighth", HERE)
        prepared = np.stack([tagger.prepare(np.zeros((20, 30, 3), np.uint8)) for _ in range(3)])
        found = tagger.probabilities(prepared)
        assert (found.shape, found.dtype) == ((3, 8), np.float32)
        assert tagger.name == "eighth"
        assert not isinstance(tagger, SceneTagger)
        plugin = {"package": "their-package", "version": "1.0"}
        assert tagger.provenance == {"name": "eighth", "source": "chance", "plugin": plugin}
        assert pickle.loads(pickle.dumps(tagger)).provenance == tagger.provenance  # noqa: S301 - our own

    @pytest.mark.parametrize(
        ("source", "told"),
        [
            (
                TAGGER.replace("np.linspace(0.05, 0.4, 8)", "np.ones(7)"),
                r"probabilities of shape \(2, 7\) where \(2, 8\)",
            ),
            (TAGGER.replace("0.05, 0.4", "0.0, 3.0"), "probabilities from 0 to 3 where 0 to 1"),
            (TAGGER.replace("picture[:4, :4]", "picture"), "prepared pictures of shapes"),
            (TAGGER.replace("picture[:4, :4]", "picture.nonsense"), r"failed \(AttributeError\)"),
        ],
    )
    def test_one_that_fails_at_work(self, site: Path, source: str, told: str) -> None:
        install(site, "their-package", source, taggers="eighth")
        tagger = load_tagger("eighth", HERE)
        with pytest.raises(PluginFailed, match=f"The tagger 'eighth' of their-package 1.0, .*{told}"):
            tagger.probabilities(np.stack([tagger.prepare(np.zeros((20, n, 3), np.uint8)) for n in (30, 31)]))


UNUSABLE = {
    "its own import fails": ("import no_such_module", r"cannot be loaded on the server \(ModuleNotFoundError\)"),
    "it ends the process": ("raise SystemExit(3)", r"\(SystemExit\)"),
    "a syntax error": ("def", r"\(SyntaxError\)"),
    "no factory": ("made = 1", r"\(AttributeError\)"),
    "the factory fails": ("def Made(_): open('/nowhere/weights.bin')", r"\(FileNotFoundError\)"),
    "the factory takes nothing": ("def Made(): pass", r"\(TypeError\)"),
    "no separator": ("def Made(_): return object()", "object has neither a method `mask` nor a method `stem`"),
    "no block": (SEPARATOR.replace("20, 4", "0, 0"), "`block_frames` of Made is 0; wanted is a .* 1 at least"),
    "more overlap than block": (SEPARATOR.replace("20, 4", "20, 21"), "`overlap_frames` of Made is 21; .* 0 to 20"),
    "an odd rate": (SOUND_SEPARATOR.replace("16_000, 16", "'CD', 16"), "`sample_rate` of Made is 'CD'; .* 4000 to"),
    "half a rate": (SOUND_SEPARATOR.replace("16_000, 16", "16e3, 16"), "`sample_rate` of Made is 16000.0; "),
    "no parameters": (SEPARATOR.replace("parameters,", "others,"), "`parameters` of Made is None; wanted is a dict"),
    "parameters beyond JSON": (
        SEPARATOR.replace('"nothing"', "np.float32(1)"), "`provenance` of Made cannot be written as JSON",
    ),
    "parameters that are no number": (SEPARATOR.replace("0.25}", 'float("nan")}'), "cannot be written as JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNUSABLE)
def test_one_that_cannot_be_used(site: Path, case: str) -> None:
    source, told = UNUSABLE[case]
    install(site, "their-package", source, separators="quarter")
    with pytest.raises(PluginUnusable, match=f"The separator 'quarter' of their-package 1.0 .*{told}") as caught:
        load_separator("quarter", HERE)
    check_words(caught.value, "plugin_unusable", retryable=True)
    (finding,) = check_plugins(Settings())
    assert finding.level == "problem"
    assert finding.text.startswith("the separator 'quarter' of their-package 1.0 cannot be loaded")
    # The operator is told all of it.
    assert str(caught.value.__cause__) in finding.text


FAILING = {
    "it raises": ("raise KeyError('/srv/secret/file')", r"failed \(KeyError\)"),
    "it ends the process": ("raise SystemExit", r"failed \(SystemExit\)"),
    "too few rows": (
        "return np.ones((3, V.shape[1]))",
        r"gave a mask of shape \(3, 24\) where \(2049, 24\) was wanted",
    ),
    "nothing": ("return None", r"gave a mask of shape \(\)"),
    "words": ("return 'all of it'", r"failed \(ValueError\)"),
    "no numbers": ("return V * np.nan", "gave a mask that holds values that are no numbers"),
    "more than all": ("return np.full(V.shape, 1.5)", "gave a mask from 0 to 1.5 where 0 to 1 was wanted"),
    "less than nothing": ("return np.full(V.shape, -0.2)", "gave a mask from -0.2 to 0 where"),
}


@pytest.mark.parametrize("case", FAILING)
def test_one_that_fails_at_work(site: Path, case: str, caplog: pytest.LogCaptureFixture) -> None:
    statement, told = FAILING[case]
    install(site, "their-package", SEPARATOR.replace("return np.full(V.shape, 0.25)", statement), separators="quarter")
    separator = load_separator("quarter", HERE)
    with pytest.raises(PluginFailed, match=f"The separator 'quarter' of their-package 1.0, .*{told}") as caught:
        separated(separator)
    check_words(caught.value, "plugin_failed", retryable=False)
    if "failed (" in str(caught.value):
        assert "the separator 'quarter' of their-package 1.0 failed" in caplog.text
        assert "Traceback" in caplog.text


@pytest.mark.parametrize("statement", ["raise KeyError", "return sound[:, 1:]", "return sound + float('inf')"])
def test_one_of_sound_that_fails_at_work(site: Path, statement: str) -> None:
    install(site, "their-package", SOUND_SEPARATOR.replace("return sound * 0.25", statement), separators="quarter")
    with pytest.raises(PluginFailed, match=r"gave a stem|failed \(KeyError\)"):
        separated(load_separator("quarter", HERE))


def check_words(error: JobFailure, code: str, *, retryable: bool) -> None:
    """What the user sees says what to do, and nothing of the server's inside."""
    seen = public_error(error)
    assert (seen.code, seen.retryable) == (code, retryable)
    assert "Choose another separator, or " in seen.message
    assert not any(inside in seen.message for inside in ("/", "Traceback", ".py", "File "))


def test_a_share_may_be_off_by_a_rounding(site: Path) -> None:
    source = SEPARATOR.replace("np.full(V.shape, 0.25)", "np.full(V.shape, 1.00001)")
    install(site, "their-package", source, separators="quarter")
    _, right = separated(load_separator("quarter", HERE))
    assert np.abs(right).max() < 1e-6


class TestWhatIsNotItsFault:
    @pytest.fixture
    def separator(self, site: Path) -> AnySeparator:
        statement = "should_stop()\n        raise BaseException('should_stop did not')"
        install(
            site, "their-package", SEPARATOR.replace("return np.full(V.shape, 0.25)", statement), separators="quarter"
        )
        return load_separator("quarter", HERE)

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (Stopped("stopped"), "canceled"),
            (TimeLimit(), "time_limit"),
            (MemoryError(), "out_of_memory"),
            (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        ],
    )
    def test_errors_with_a_meaning_keep_it(self, separator: AnySeparator, error: Exception, code: str) -> None:
        def should_stop() -> bool:
            raise error

        with pytest.raises(type(error)) as caught:
            separated(separator, should_stop)
        assert public_error(caught.value).code == code


def test_the_doctor_lists_them(site: Path) -> None:
    (nothing,) = check_plugins(Settings())
    assert (nothing.level, nothing.text) == ("ok", "no other package adds a separator or a tagger")
    install(site, "their-package", SEPARATOR, separators="quarter")
    install(site, "their-tagger", TAGGER, taggers="auto")
    installed.cache_clear()
    good, bad = check_plugins(Settings())
    assert (good.level, good.text) == ("ok", "the separator 'quarter' of their-package 1.0 can be loaded")
    assert bad.level == "problem"
    assert "their-tagger 1.0 adds a tagger of the name 'auto', which is Duetto's own" in bad.text
