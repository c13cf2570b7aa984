"""Clips for the learned separator: bases that never heard the players, and a cache that a stopped run goes on from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from models.errors import TrainingDataError
from models.instruments import index_of
from models.log_bands import N_BANDS
from models.miml import MIML
from models.refiner import N_FEATURES, REFINED_ROWS
from models.stft import N_FREQ, magnitude, stft
from models.training import clips as clips_module
from models.training.clips import Clips, clips_key, collect_clips, make_clip
from models.training.cross_fit import Banks, cross_fitted_banks
from models.training.mixing import CLIP_FRAMES, Mixer
from models.training.solos import Solo
from tests.unit.signals import harmonic

RATE = 44_100
HERTZ = {("cello", "wood"): 110.0, ("cello", "steel"): 155.0, ("flute", "wood"): 740.0, ("flute", "steel"): 988.0}


def indifferent_network() -> MIML:
    """A network that takes every spectrum for every instrument: it drops none."""
    network = MIML(hidden=4)
    torch.nn.init.zeros_(network.concepts.weight)
    return network.eval()


def tone_of(solo: tuple[str, str]) -> NDArray[np.float32]:
    """A steady tone with a little noise, so that a source has more than one spectrum."""
    tone = harmonic(HERTZ[solo], 7.0, RATE, partials=10)
    hiss = np.random.default_rng(int(HERTZ[solo])).standard_normal(len(tone))
    return (tone + 2e-4 * hiss).astype(np.float32)


@pytest.fixture(scope="module")
def solos(tmp_path_factory: pytest.TempPathFactory) -> list[Solo]:
    folder = tmp_path_factory.mktemp("solos")
    for instrument, origin in HERTZ:
        soundfile.write(folder / f"{instrument}-{origin}.wav", tone_of((instrument, origin)), RATE)
    return [Solo(folder / f"{instrument}-{origin}.wav", instrument, origin) for instrument, origin in HERTZ]


@pytest.fixture(scope="module")
def banks(solos: list[Solo]) -> Banks:
    return cross_fitted_banks(solos, indifferent_network(), keep=6)


def test_bases_are_of_every_source_but_the_players_own(banks: Banks) -> None:
    assert banks.keys() == HERTZ.keys()
    spectra = {key: magnitude(tone_of(key)[None]).mean(axis=1) for key in HERTZ}
    for (instrument, origin), columns in banks.items():
        assert columns.shape == (N_FREQ, 6)
        assert columns.dtype == np.float16
        W = columns.astype(np.float32)
        W /= np.linalg.norm(W, axis=0)
        likeness = {key: W.T @ (V / np.linalg.norm(V)) for key, V in spectra.items()}
        (other,) = (key for key in HERTZ if key[0] == instrument and key[1] != origin)
        # But for the frames in which a tone begins or ends.
        assert np.median(likeness[other]) > 0.99
        assert likeness[instrument, origin].max() < likeness[other].min()
        assert np.median(likeness[instrument, origin]) < 0.4


def test_equal_seeds_choose_equal_bases(solos: list[Solo], banks: Banks) -> None:
    told: list[str] = []
    again = cross_fitted_banks(solos, indifferent_network(), keep=6, progress=told.append)
    assert told == ["cello", "flute"]
    assert all(np.array_equal(columns, again[key]) for key, columns in banks.items())
    other = cross_fitted_banks(solos, indifferent_network(), keep=6, seed=1)
    assert not all(np.array_equal(columns, other[key]) for key, columns in banks.items())


def test_an_instrument_from_one_source_is_refused(solos: list[Solo]) -> None:
    with pytest.raises(TrainingDataError, match=r"all solos of cello are from 'wood': .* at least two sources"):
        cross_fitted_banks([solos[0], *solos[2:]], indifferent_network())


def test_an_instrument_that_the_network_takes_for_another_is_refused(solos: list[Solo]) -> None:
    class Partial(MIML):
        """Everything is a violin to it."""

        def forward(self, W: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            X = torch.zeros(W.shape[0], 8, W.shape[2])
            X[:, index_of("violin")] = 9.0
            return X, X.amax(dim=2)

    with pytest.raises(TrainingDataError, match=r"every spectrum of cello .* for another instrument"):
        cross_fitted_banks(solos, Partial(hidden=4).eval())


def test_a_clip_holds_what_was_mixed_and_the_share_that_undoes_it(solos: list[Solo], banks: Banks) -> None:
    mixer = Mixer(solos, seed=1)
    rows, labels = make_clip(mixer, banks, 3)
    mix = mixer.draw(3)
    assert labels == (index_of(mix.solos[0].instrument), index_of(mix.solos[1].instrument))
    assert rows.shape == (N_FEATURES * N_BANDS + 3 * REFINED_ROWS, CLIP_FRAMES)
    assert rows.dtype == np.float16
    clip = Clips((rows[None],), np.array([labels]))
    x, V, guided, ideal = (part[0].numpy() for part in clip.batch(np.array([0])))
    X = stft(mix.players.sum(axis=0, keepdims=True))[0, :REFINED_ROWS]
    first = stft(mix.players[:1])[0, :REFINED_ROWS]
    loudest = np.abs(stft(mix.players.sum(axis=0, keepdims=True))).max()
    np.testing.assert_allclose(V, np.abs(X) / loudest, atol=1e-3)
    assert x.min() >= -1.0
    assert guided.min() >= 0.0
    assert guided.max() <= 1.0

    def missed(share: NDArray[np.float32]) -> float:
        return float(np.square(np.abs(share * X - first)).sum() / np.square(np.abs(first)).sum())

    # Nothing is nearer to the first player than the ideal share, nor is a step to either side.
    assert missed(ideal) < 0.1
    assert missed(ideal) < min(map(missed, (guided, ideal + 0.05, ideal - 0.05, 0.5 * ideal, 1.0 - ideal)))


def contents(clips: Clips) -> list[bytes]:
    return [np.asarray(chunk).tobytes() for chunk in clips.chunks]


def test_clips_made_in_two_goes_are_those_made_in_one(
    solos: list[Solo], banks: Banks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips_module, "CHUNK", 2)
    told: list[tuple[int, int]] = []
    whole = collect_clips(
        Mixer(solos, 1), banks, 5, tmp_path / "whole", jobs=1, progress=lambda *done: told.append(done)
    )
    assert told == [(2, 5), (4, 5), (5, 5)]
    assert len(whole) == 5
    direct, labels = make_clip(Mixer(solos, 1), banks, 4)
    np.testing.assert_array_equal(whole.chunks[2][0], direct)
    assert tuple(whole.labels[4]) == labels
    features = whole.batch(np.array([4, 0]))[0]
    assert features.shape == (2, N_FEATURES, N_BANDS, CLIP_FRAMES)
    np.testing.assert_array_equal(features[0].flatten(0, 1).numpy(), direct[: N_FEATURES * N_BANDS])
    # As a run that was killed leaves it: a chunk half written, and one without its labels.
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("000000-2.npy", "000000-2.labels.npy", "000002-2.npy"):
        (broken / name).write_bytes((tmp_path / "whole" / name).read_bytes())
    (broken / "000002-2.npy").write_bytes(b"of another run")
    (broken / ".000004-1.npy").write_bytes(b"half")
    told.clear()
    again = collect_clips(Mixer(solos, 1), banks, 5, broken, jobs=1, progress=lambda *done: told.append(done))
    assert told == [(4, 5), (5, 5)]
    assert contents(again) == contents(whole)
    np.testing.assert_array_equal(again.labels, whole.labels)
    # What is there is only read.
    told.clear()
    collect_clips(Mixer(solos, 2), {}, 5, broken, jobs=1, progress=lambda *done: told.append(done))
    assert told == []


def test_clips_of_other_sound_bases_or_seeds_have_another_name(banks: Banks) -> None:
    first = next(iter(banks))
    changed = {**banks, first: banks[first] * np.float16(0.5)}
    names = {clips_key("a", banks, 0), clips_key("b", banks, 0), clips_key("a", banks, 1), clips_key("a", changed, 0)}
    assert len(names) == 4
    assert clips_key("a", dict(reversed(banks.items())), 0) in names
