"""Training the sound network: mixtures of one to three solos, made while it learns.

Solos are kept as band powers (:mod:`models.hearing.features`). Powers of sounds that are not in step add up, so a
mixture is a sum, and none has to be rendered. Each part is transposed, coloured and given room and level by chance:
the network must not learn the few recordings that there are, but the instruments.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import Stopped, TrainingDataError
from models.hearing.features import BANDS, PATCH_FRAMES, as_levels, band_powers
from models.hearing.network import InstrumentNet
from models.hearing.pairs import pair_log_probabilities, place_of_pair
from models.instruments import INSTRUMENTS, NAMES, index_of
from models.stft import magnitude
from models.training.recordings import read_mono
from models.training.solos import Solo

EXAMPLES = 60_000
BATCH = 32
LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 1e-2
_WARM_UP_STEPS = 50
_MEMORY = 0.99  # of the running average of the weights, a step
_PLAYERS: Final = ((1, 0.12), (2, 0.76), (3, 0.12))  # how many play in a mixture, and how often
_MOST_SHIFT = 5  # bands: 2.5 semitones
_COLOUR_DB = 6.0  # spread of a smooth curve over frequency
_TILT_DB = 4.0  # spread of a straight one, from the middle to either end
_ROOM_SHARE = 0.5
_ROOM_DECAY = (0.05, 0.35)  # of the power of a frame that sounds on in the next
_LEVEL_DB = 8.0  # to either side
_NOISE = (2.0, 6.0)  # orders of magnitude below the mixture's mean power
_HELD_MIXTURES = 400
_TEMPERATURES = np.geomspace(0.5, 4.0, 43)


@dataclass(frozen=True)
class SoloPowers:
    """Band powers of every solo, as logarithms.

    Attributes
    ----------
    logs : list of np.ndarray [shape=(frames, BANDS), float16]
        Natural logarithm, over the solo's mean power a frame.
    labels : np.ndarray [shape=(solos,), int64]
    origins : tuple of str
        The collection that each was made from.
    """

    logs: list[NDArray[np.float16]]
    labels: NDArray[np.int64]
    origins: tuple[str, ...]

    def pool(self, chosen: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
        """Return indices of the chosen solos by instrument, each origin as often as the others."""
        pools = []
        for label in range(len(INSTRUMENTS)):
            mine = np.flatnonzero(chosen & (self.labels == label))
            by_origin: dict[str, list[int]] = {}
            for index in mine:
                by_origin.setdefault(self.origins[int(index)], []).append(int(index))
            most = max((len(one) for one in by_origin.values()), default=0)
            pools.append(np.array([i for one in by_origin.values() for i in np.resize(one, most)], dtype=np.int64))
        return pools


@dataclass(frozen=True, slots=True)
class HearingAccuracy:
    """On mixtures of two solos that were held out: share whose most likely pair is the true one, the temperature
    that makes the pairs' probabilities fit best, and their mean negative logarithm at it (nats)."""

    right_pair: float
    temperature: float
    log_loss: float


def solo_powers(solos: Sequence[Solo], progress: Callable[[int, int], None] | None = None) -> SoloPowers:
    """Read all solos.

    Raises
    ------
    TrainingDataError
        If one cannot be used; see :func:`models.training.recordings.read_mono`.
    """
    logs = []
    for number, solo in enumerate(solos, 1):
        # (samples,) -> (channels, samples)
        powers = band_powers(magnitude(read_mono(solo.path)[None, :]))
        mean = max(float(powers.sum(axis=1).mean()), 1e-20)
        logs.append(np.log(powers / mean + 1e-9).astype(np.float16))
        if progress is not None:
            progress(number, len(solos))
    labels = np.array([index_of(solo.instrument) for solo in solos], dtype=np.int64)
    return SoloPowers(logs, labels, tuple(solo.origin for solo in solos))


def train_network(
    solos: SoloPowers,
    held_out: NDArray[np.bool_],
    *,
    examples: int = EXAMPLES,
    seed: int = 0,
    on_step: Callable[[int, float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> InstrumentNet:
    """Train on mixtures of the solos that are not held out; return a running average of the weights.

    Parameters
    ----------
    solos : SoloPowers
    held_out : np.ndarray [shape=(solos,), bool]
    examples : int
        Mixtures to learn from, each made once.
    on_step : callable, optional
        Given the number of mixtures learnt from so far, and the loss of the last batch.

    Raises
    ------
    TrainingDataError
        If an instrument has no solo to learn from.
    Stopped
        If `should_stop` returned true.
    """
    pools = solos.pool(~held_out)
    if missing := [name for name, pool in zip(NAMES, pools, strict=True) if len(pool) == 0]:
        raise TrainingDataError(f"no solo of {', '.join(missing)} to learn from: every instrument needs one")
    rng = np.random.default_rng((seed, 2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = InstrumentNet()
        average = copy.deepcopy(network).eval()
        optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        steps = max(1, examples // BATCH)
        network.train()
        for step in range(steps):
            if should_stop is not None and should_stop():
                raise Stopped("training was stopped")
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * _pace(step, steps)
            levels, present = _batch(solos, pools, rng)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(levels), present)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
            optimizer.step()
            _follow(average, network, min(_MEMORY, step / (step + 10)))
            if on_step is not None:
                on_step((step + 1) * BATCH, float(loss.detach()))
    return average


def measure_network(
    network: InstrumentNet, solos: SoloPowers, held_out: NDArray[np.bool_], seed: int = 0
) -> HearingAccuracy:
    """Measure on mixtures of two held-out solos of different instruments.

    Raises
    ------
    TrainingDataError
        If fewer than two instruments have a solo held out.
    """
    pools = solos.pool(held_out)
    if sum(len(pool) > 0 for pool in pools) < 2:
        raise TrainingDataError("fewer than two instruments have a solo held out: the sound network cannot be measured")
    rng = np.random.default_rng((seed, 3))
    made = [_mixture(solos, pools, 2, rng) for _ in range(_HELD_MIXTURES)]
    scores = []
    with torch.inference_mode():
        for start in range(0, len(made), BATCH):
            levels = torch.from_numpy(as_levels(np.stack([mixture for mixture, _ in made[start : start + BATCH]])))
            scores.append(network(levels).numpy())
    log_odds = np.concatenate(scores).astype(np.float64)
    places = [place_of_pair(*np.flatnonzero(present)) for _, present in made]
    losses = [
        -float(np.mean([pair_log_probabilities(row / t)[place] for row, place in zip(log_odds, places, strict=True)]))
        for t in _TEMPERATURES
    ]
    best = int(np.argmin(losses))
    right = np.mean(
        [pair_log_probabilities(row).argmax() == place for row, place in zip(log_odds, places, strict=True)]
    )
    return HearingAccuracy(float(right), float(_TEMPERATURES[best]), losses[best])


def hold_out_origins(solos: SoloPowers, seed: int) -> NDArray[np.bool_]:
    """Choose which solos are held out to measure on: of each instrument one whole origin; a quarter of its solos, where
    it has only one.

    Other recordings of the same origin sound alike, so anything less than an origin flatters.

    Returns
    -------
    np.ndarray [shape=(solos,), bool], true where held out
    """
    rng = np.random.default_rng((seed, 4))
    held = np.zeros(len(solos.labels), dtype=np.bool_)
    origins = np.array(solos.origins)
    for label in range(len(INSTRUMENTS)):
        mine = solos.labels == label
        found = sorted(set(origins[mine]))
        if len(found) > 1:
            held |= mine & (origins == found[int(rng.integers(len(found)))])
        elif mine.sum() > 1:
            held[rng.permutation(np.flatnonzero(mine))[: max(1, int(mine.sum()) // 4)]] = True
    return held


def _batch(
    solos: SoloPowers, pools: list[NDArray[np.int64]], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Levels (BATCH, PATCH_FRAMES, BANDS) and which instruments are present (BATCH, 8), float32."""
    counts, shares = zip(*_PLAYERS, strict=True)
    made = [_mixture(solos, pools, int(rng.choice(counts, p=shares)), rng) for _ in range(BATCH)]
    levels = as_levels(np.stack([mixture for mixture, _ in made]))
    return torch.from_numpy(levels), torch.from_numpy(np.stack([present for _, present in made]))


def _mixture(
    solos: SoloPowers, pools: list[NDArray[np.int64]], players: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Powers (PATCH_FRAMES, BANDS) of `players` instruments, and which they are (8)."""
    there = [label for label, pool in enumerate(pools) if len(pool)]
    mixture = np.zeros((PATCH_FRAMES, BANDS), np.float32)
    present = np.zeros(len(INSTRUMENTS), np.float32)
    for label in rng.choice(there, min(players, len(there)), replace=False):
        level = 10.0 ** (rng.uniform(-_LEVEL_DB, _LEVEL_DB) / 10.0)
        mixture += np.float32(level) * _part(solos.logs[int(rng.choice(pools[label]))], rng)
        present[label] = 1.0
    mixture /= max(float(mixture.sum(axis=1).mean()), 1e-20)
    noise = 10.0 ** -rng.uniform(*_NOISE) * rng.gamma(1.0, 1.0, mixture.shape)
    return mixture + noise.astype(np.float32), present


def _part(logs: NDArray[np.float16], rng: np.random.Generator) -> NDArray[np.float32]:
    """5 s of one solo (PATCH_FRAMES, BANDS), mean power 1 a frame: transposed, coloured, perhaps in a room."""
    start = int(rng.integers(0, max(1, len(logs) - PATCH_FRAMES)))
    powers = np.exp(logs[start : start + PATCH_FRAMES].astype(np.float32))
    if len(powers) < PATCH_FRAMES:
        powers = np.resize(powers, (PATCH_FRAMES, BANDS))
    if shift := int(rng.integers(-_MOST_SHIFT, _MOST_SHIFT + 1)):
        powers = np.roll(powers, shift, axis=1)
        powers[:, slice(shift) if shift > 0 else slice(shift, None)] = 0.0
    points = rng.normal(0.0, _COLOUR_DB, int(rng.integers(3, 8)))
    curve = np.interp(np.arange(BANDS), np.linspace(0, BANDS - 1, len(points)), points)
    curve += rng.normal(0.0, _TILT_DB) * np.linspace(-1.0, 1.0, BANDS)
    powers = powers * (10.0 ** (curve / 10.0)).astype(np.float32)
    if rng.random() < _ROOM_SHARE:
        decay = np.float32(rng.uniform(*_ROOM_DECAY))
        for frame in range(1, PATCH_FRAMES):
            powers[frame] += decay * powers[frame - 1]
    return np.asarray(powers / max(float(powers.sum(axis=1).mean()), 1e-20), dtype=np.float32)


def _pace(step: int, steps: int) -> float:
    """Learning rate over its highest: up within the first steps, then down along a cosine."""
    return min(1.0, (step + 1) / _WARM_UP_STEPS) * (0.5 * (1.0 + float(np.cos(np.pi * step / steps))) + 0.01)


@torch.no_grad()
def _follow(average: InstrumentNet, network: InstrumentNet, memory: float) -> None:
    for mine, theirs in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(theirs, 1.0 - memory)
        else:
            mine.copy_(theirs)
