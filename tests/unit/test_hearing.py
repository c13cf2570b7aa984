"""Which instruments sound: features, pairs, the shipped networks on the example, and learning from solos."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from models.errors import InvalidAudio, InvalidBases, Stopped, TrainingDataError
from models.hearing import MOST_SECONDS, Heard, InstrumentNet, Listener, load_listener
from models.hearing.features import BANDS, PATCH_FRAMES, as_levels, band_powers, patches
from models.hearing.network import FORMAT, load_network, save_network
from models.hearing.pairs import PAIRS, pair_log_probabilities, place_of_pair
from models.instruments import NAMES, index_of
from models.players.fusion import best, ordered_pairs
from models.stft import magnitude
from models.tensors import load
from models.training import command
from models.training.hearing import (
    SoloPowers,
    hold_out_origins,
    measure_network,
    train_network,
)
from models.training.listener import named_origins
from models.training.solos import Solo
from tests.unit.signals import harmonic, noise
from tests.unit.test_example import EXAMPLES

RATE = 44_100


def stem(side: str) -> NDArray[np.float32]:
    sound, rate = soundfile.read(EXAMPLES / f"duet_{side}.wav", dtype="float32")
    assert rate == RATE
    return np.asarray(sound, dtype=np.float32)


@pytest.fixture(scope="module")
def listener() -> Listener:
    return load_listener()


@pytest.fixture(scope="module")
def mix() -> NDArray[np.float32]:
    return (stem("left") + stem("right"))[None]


def test_both_players_of_the_example_are_heard(listener: Listener, mix: NDArray[np.float32]) -> None:
    heard = listener.listen([mix], RATE, 1)
    assert heard is not None
    assert set(heard.best_pair) == {"trumpet", "acoustic_guitar"}
    assert heard.probabilities.shape == (8,)
    assert np.exp(heard.pair_log_probabilities).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("side", "name"), [("left", "trumpet"), ("right", "acoustic_guitar")])
def test_one_player_alone_is_heard(listener: Listener, side: str, name: str) -> None:
    heard = listener.listen([stem(side)[None]], RATE, 1)
    assert heard is not None
    assert NAMES[int(heard.probabilities.argmax())] == name


def test_blocks_channels_and_level_do_not_matter(listener: Listener, mix: NDArray[np.float32]) -> None:
    whole = listener.listen([mix], RATE, 1)
    stereo = np.repeat(0.01 * mix, 2, axis=0)
    parts = listener.listen(np.array_split(stereo, 7, axis=1), RATE, 2)
    assert whole is not None
    assert parts is not None
    np.testing.assert_allclose(parts.log_odds, whole.log_odds, atol=0.02)


@pytest.mark.parametrize("rate", [8_000, 22_050, 96_000])
def test_any_rate_is_heard(listener: Listener, rate: int) -> None:
    heard = listener.listen([harmonic(220.0, 2.0, rate)[None].astype(np.float32)], rate, 1)
    assert heard is not None
    assert np.isfinite(heard.log_odds).all()


def test_silence_tells_nothing(listener: Listener) -> None:
    assert listener.listen([], RATE, 1) is None
    assert listener.listen([np.zeros((1, RATE), np.float32)], RATE, 1) is None
    assert listener.listen([np.full((1, 10), 0.1, np.float32)], RATE, 1) is not None


def test_only_so_much_is_listened_to(listener: Listener) -> None:
    read = []

    def blocks() -> Iterator[NDArray[np.float32]]:
        for second in range(10 * int(MOST_SECONDS)):
            read.append(second)
            yield noise(1, 8_000, seed=second)

    assert listener.listen(blocks(), 8_000, 1) is not None
    assert len(read) == MOST_SECONDS


def test_it_stops_when_asked_to(listener: Listener, mix: NDArray[np.float32]) -> None:
    with pytest.raises(Stopped):
        listener.listen([mix], RATE, 1, should_stop=lambda: True)


def test_sound_that_is_no_sound_is_refused(listener: Listener) -> None:
    with pytest.raises(InvalidAudio, match="not finite"):
        listener.listen([np.full((1, RATE), np.nan, np.float32)], RATE, 1)


def test_a_transposition_is_a_shift_of_the_bands() -> None:
    low, high = (
        band_powers(magnitude(harmonic(f0, 2.0, RATE)[None].astype(np.float32))).mean(axis=0) for f0 in (440.0, 880.0)
    )
    shift = int(np.correlate(high, low, mode="full").argmax()) - (BANDS - 1)
    assert shift == 24


def test_patches_cover_a_recording() -> None:
    powers = np.arange(130 * BANDS, dtype=np.float32).reshape(130, BANDS)
    cut = patches(powers)
    assert cut.shape == (4, PATCH_FRAMES, BANDS)
    np.testing.assert_array_equal(cut[0], powers[:PATCH_FRAMES])
    np.testing.assert_array_equal(cut[-1], powers[-PATCH_FRAMES:])
    # What is shorter is repeated.
    short = patches(powers[:20])
    np.testing.assert_array_equal(short[0, 20:40], powers[:20])
    assert patches(powers[:0]).shape == (0, PATCH_FRAMES, BANDS)


def test_levels_are_free_of_loudness() -> None:
    powers = np.random.default_rng(0).gamma(1.0, 1.0, (3, PATCH_FRAMES, BANDS)).astype(np.float32)
    np.testing.assert_allclose(as_levels(powers), as_levels(1e-6 * powers), atol=1e-5)
    assert as_levels(np.zeros((PATCH_FRAMES, BANDS), np.float32)).max() == -1.0


def test_pairs_are_all_there_once() -> None:
    assert len(PAIRS) == len(set(PAIRS)) == 28
    assert place_of_pair(5, 2) == place_of_pair(2, 5) == PAIRS.index((2, 5))
    log_odds = np.zeros(8)
    log_odds[[2, 5]] = 2.0
    shares = np.exp(pair_log_probabilities(log_odds))
    assert shares.sum() == pytest.approx(1.0)
    assert shares.argmax() == place_of_pair(2, 5)
    # exp(4) against 12 pairs with one of the two, and 15 with neither.
    assert shares.max() == pytest.approx(np.exp(4) / (np.exp(4) + 12 * np.exp(2) + 15))


def test_fusion_is_bayes_rule() -> None:
    rng = np.random.default_rng(0)
    sides = np.log(rng.dirichlet(np.ones(8), 2))
    pairs = np.log(rng.dirichlet(np.ones(28)))
    fused = ordered_pairs(sides, pairs)
    assert fused.sum() == pytest.approx(1.0)
    assert np.diag(fused).max() == 0.0
    left, right = np.exp(sides)
    expected = left[3] * right[1] * np.exp(pairs[place_of_pair(1, 3)])
    reference = left[1] * right[3] * np.exp(pairs[place_of_pair(1, 3)])
    assert fused[3, 1] / fused[1, 3] == pytest.approx(expected / reference)
    # The sound alone knows no sides.
    alone = ordered_pairs(None, pairs)
    np.testing.assert_allclose(alone, alone.T)
    named = ordered_pairs(sides, pairs, (4, None))
    assert named.sum() == pytest.approx(1.0)
    assert best(named)[0] == 4
    assert named[np.arange(8) != 4].max() == 0.0
    assert best(ordered_pairs(sides, None, (4, 2))) == (4, 2)


def test_weights_are_kept_and_damage_is_noticed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = InstrumentNet().eval()
    path = tmp_path / "hearing.safetensors"
    save_network(path, network, 1.25, {"made_by": "a test"})
    again, temperature, digest = load_network(path)
    levels = torch.randn(2, PATCH_FRAMES, BANDS)
    with torch.inference_mode():
        torch.testing.assert_close(again(levels), network(levels))
    assert temperature == 1.25
    assert len(digest) == 64
    save_network(path, network, -1.0, {})
    with pytest.raises(InvalidBases, match="does not hold the temperature of the sound network"):
        load_network(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InvalidBases, match="is damaged"):
        load_network(path)


def solos(origins: int = 2) -> SoloPowers:
    """Solos of eight instruments, each loud in bands of its own."""
    logs, labels, names = [], [], []
    for label in range(8):
        for origin in range(origins):
            rng = np.random.default_rng((label, origin))
            powers = rng.gamma(1.0, 0.01, (2 * PATCH_FRAMES, BANDS))
            powers[:, 24 * label + 6 : 24 * label + 18] += rng.gamma(1.0, 1.0, (2 * PATCH_FRAMES, 12))
            logs.append(np.log(powers / powers.sum(axis=1).mean()).astype(np.float16))
            labels.append(label)
            names.append(f"origin {origin}")
    return SoloPowers(logs, np.array(labels), tuple(names))


def test_it_learns_which_instruments_are_in_a_mixture() -> None:
    powers = solos()
    held_out = hold_out_origins(powers, seed=0)
    assert held_out.sum() == 8
    steps: list[tuple[int, float]] = []
    network = train_network(powers, held_out, examples=2400, on_step=lambda *step: steps.append(step))
    accuracy = measure_network(network, powers, held_out)
    # Chance is 1 in 28, and log 28 = 3.3 nats.
    assert accuracy.right_pair > 0.5
    assert accuracy.log_loss < 2.0
    assert steps[-1][0] == 2400
    assert steps[-1][1] < steps[0][1]


def test_training_repeats_to_the_bit() -> None:
    powers = solos(1)
    nothing = np.zeros(8, dtype=np.bool_)
    first, second = (train_network(powers, nothing, examples=64, seed=3).state_dict() for _ in range(2))
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=0.0, atol=0.0)


def test_every_instrument_must_be_there_to_learn_from() -> None:
    powers = solos(1)
    without = powers.labels == index_of("flute")
    with pytest.raises(TrainingDataError, match="no solo of flute to learn from"):
        train_network(powers, without, examples=32)
    with pytest.raises(TrainingDataError, match="fewer than two instruments"):
        measure_network(InstrumentNet(), powers, without)
    with pytest.raises(Stopped):
        train_network(powers, np.zeros(8, dtype=np.bool_), should_stop=lambda: True)


def test_a_quarter_is_held_out_where_there_is_one_origin() -> None:
    one = solos(1)
    logs, labels = one.logs * 4, np.tile(one.labels, 4)
    held = hold_out_origins(SoloPowers(logs, labels, ("mine",) * 32), seed=0)
    assert [int(held[labels == label].sum()) for label in range(8)] == [1] * 8
    assert not hold_out_origins(one, seed=0).any()


def test_the_command_learns_from_solos_and_writes_what_loads(tmp_path: Path) -> None:
    for label, name in enumerate(NAMES):
        for number in range(2):
            sound = harmonic(110.0 * 2 ** (label / 2 + number / 24), 6.0, RATE)
            path = tmp_path / "solos" / name / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound, RATE)
    words = ["--solos", str(tmp_path / "solos"), "--sources", "none", "--examples", "320", "--jobs", "1"]
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    out = tmp_path / "weights"
    args = parser.parse_args(["listener", *words, "--out", str(out), "--cache", str(tmp_path / "cache")])
    threads = torch.get_num_threads()
    try:
        assert command.run(args) == 0
    finally:
        torch.set_num_threads(threads)
    heard = load_listener(out / "hearing.safetensors").listen([harmonic(220.0, 2.0, RATE)[None]], RATE, 1)
    assert heard is not None
    record = load(out / "hearing.safetensors", FORMAT).provenance
    assert record["command"].startswith("duetto train listener --sources none --solos <solos>")
    assert record["parameters"]["examples"] == 320
    assert 0.0 <= record["accuracy"]["right_pair"] <= 1.0
    assert str(tmp_path) not in str(record)


def test_an_origin_that_is_not_there_is_named(tmp_path: Path) -> None:
    solo = Solo(tmp_path / "0.wav", "violin", "mine")
    with pytest.raises(TrainingDataError, match="no solo of violin/garner; there are violin/mine"):
        named_origins([solo], ("violin/garner",))
    assert named_origins([solo], ("violin/mine",)).all()


def test_an_opinion_without_evidence_is_even() -> None:
    heard = Heard(np.zeros(8))
    assert np.exp(heard.pair_log_probabilities) == pytest.approx(np.full(28, 1 / 28))
