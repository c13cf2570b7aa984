"""Listening: from a recording to which of the eight instruments sound in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models import parallel
from models.bases import WEIGHTS
from models.hearing.features import as_levels, band_powers, patches
from models.hearing.network import InstrumentNet, load_network
from models.hearing.pairs import PAIRS, pair_log_probabilities
from models.instruments import NAMES
from models.miml import MIML, load_miml
from models.nmf import M_COMPONENTS, ShouldStop, factorize
from models.stft import BLOCK_FRAMES, StreamingSTFT, geometry, pooled_magnitude

LISTENER_WEIGHTS = (WEIGHTS / "hearing.safetensors", WEIGHTS / "miml.safetensors")
MOST_SECONDS = 120.0  # of a recording that are listened to
NOTES_TEMPERATURE = 2.7
"""By which the scores of the MIML network are divided. Chosen by hand: anything from 2 to 6 is about as good."""
STRANGENESS = 1.5
"""By which both networks are trusted less than held-out training sounds would have it: real recordings are stranger."""
MISHEARD = 0.2
"""Share of recordings that are like nothing that was learnt, of which the networks may be sure all the same: so that a
picture that is clear outvotes any sound."""
_MOST_SEGMENTS = 6  # of 5 s, factorised for the network that hears notes
_ITERATIONS = 100  # half of what training takes: the network says the same
_BATCH_PATCHES = 16
_REST = 1e-4  # of the loudest part's power
_SILENCE = 1e-12


@dataclass(frozen=True)
class Heard:
    """What the sound says.

    Attributes
    ----------
    log_odds : np.ndarray [shape=(8,), float64]
        That each instrument sounds somewhere, tempered: probabilities are meant to be as often right as they say.
    """

    log_odds: NDArray[np.float64]

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of each instrument (8), 0..1, without regard to how many there are."""
        odds: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-self.log_odds))
        return odds

    @property
    def pair_log_probabilities(self) -> NDArray[np.float64]:
        """Of each of the 28 pairs (:data:`models.hearing.pairs.PAIRS`), given that two different instruments play."""
        shares = np.exp(pair_log_probabilities(self.log_odds))
        mixed: NDArray[np.float64] = np.log((1.0 - MISHEARD) * shares + MISHEARD / len(PAIRS))
        return mixed

    @property
    def best_pair(self) -> tuple[str, str]:
        """Names of the most likely pair."""
        one, other = PAIRS[int(self.pair_log_probabilities.argmax())]
        return NAMES[one], NAMES[other]


class Listener:
    """Two networks with their weights, which err in different places: one hears 5 s as a whole, one single notes."""

    def __init__(self, network: InstrumentNet, temperature: float, notes: MIML, provenance: dict[str, Any]) -> None:
        self._network = network
        self._temperature = temperature
        self._notes = notes
        self.provenance = provenance

    def listen(
        self,
        blocks: Iterable[NDArray[np.float32]],
        sample_rate: int,
        channels: int,
        should_stop: ShouldStop | None = None,
    ) -> Heard | None:
        """Listen to a recording, at most its first :data:`MOST_SECONDS`.

        Parameters
        ----------
        blocks : iterable of np.ndarray [shape=(channels, samples), float32, full scale 1.0]
            Read no further than is needed.
        sample_rate : int [Hz]
        channels : int
        should_stop : callable, optional

        Returns
        -------
        Heard, or None where there is nothing but silence

        Raises
        ------
        InvalidAudio
            See :func:`models.stft.stft`.
        Stopped
            If `should_stop` returned true.
        """
        return self.hear(self.beginning(blocks, sample_rate, channels), should_stop)

    def beginning(self, blocks: Iterable[NDArray[np.float32]], sample_rate: int, channels: int) -> NDArray[np.float32]:
        """Return what of a recording is listened to, as a magnitude (freq, frames) float32 for :meth:`hear`.

        Parameters and errors are those of :meth:`listen`.
        """
        transform = StreamingSTFT(sample_rate, channels)
        spectra = [np.zeros((geometry(sample_rate).n_freq, 0), np.float32)]
        left = round(MOST_SECONDS * sample_rate)
        for block in blocks:
            spectra += [pooled_magnitude(one) for one in transform.push(block[:, :left])]
            left -= block.shape[1]
            if left <= 0:
                break
        spectra += [pooled_magnitude(one) for one in transform.flush()]
        return np.concatenate(spectra, axis=1)

    def hear(self, V: NDArray[np.float32], should_stop: ShouldStop | None = None) -> Heard | None:
        """The same as :meth:`listen` from a magnitude (freq, frames) float32."""
        of_patches = self._hear_patches(band_powers(V))
        if of_patches is None:
            return None
        both = of_patches / self._temperature + self._hear_notes(V, should_stop) / NOTES_TEMPERATURE
        return Heard(both / STRANGENESS)

    def _hear_patches(self, powers: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Mean log-odds (8) over patches of 5 s that sound; None if none does."""
        cut = patches(powers)
        loud = cut.sum(axis=(1, 2))
        # A rest tells nothing of who plays.
        cut = cut[loud > _REST * max(float(loud.max(initial=0.0)), _SILENCE)]
        if len(cut) == 0:
            return None
        with torch.inference_mode():
            parts = torch.split(torch.from_numpy(as_levels(cut)), _BATCH_PATCHES)
            scores = [self._network(part).numpy() for part in parts]
        mean: NDArray[np.float64] = np.concatenate(scores).astype(np.float64).mean(axis=0)
        return mean

    def _hear_notes(self, V: NDArray[np.float32], should_stop: ShouldStop | None) -> NDArray[np.float64]:
        """Mean scores D (8) of the MIML network on the bases of some segments (report section 2.2.2), about their mean.

        D orders the instruments of a segment, and knows no zero.
        """
        rows = self._notes.n_freq
        V = np.pad(V[:rows], ((0, max(0, rows - V.shape[0])), (0, 0)))
        segments = [V[:, start : start + BLOCK_FRAMES] for start in range(0, V.shape[1], BLOCK_FRAMES)]
        energies = np.array([float(np.square(segment).mean()) for segment in segments])
        sounding = np.flatnonzero(energies > _REST * energies.max())
        chosen = sounding[np.unique(np.linspace(0, len(sounding) - 1, _MOST_SEGMENTS).round().astype(int))]

        def score(number: int) -> NDArray[np.float64]:
            found = factorize(
                segments[number], M_COMPONENTS, iterations=_ITERATIONS, seed=number, should_stop=should_stop
            )
            with torch.inference_mode():
                _, D = self._notes(torch.from_numpy(found.W)[None])
            return np.asarray(D[0].numpy(), dtype=np.float64)

        scores = parallel.each(score, map(int, chosen))
        mean = np.mean(scores, axis=0)
        return np.asarray(mean - mean.mean(), dtype=np.float64)


@cache
def load_listener(path: Path = LISTENER_WEIGHTS[0]) -> Listener:
    """Return the listener that ships with Duetto, read once a process.

    Raises
    ------
    InvalidBases
        If the file is missing or damaged.
    """
    network, temperature, sha256 = load_network(path)
    notes_file = LISTENER_WEIGHTS[1]
    notes, _ = load_miml(notes_file)
    digests = {"weights_sha256": sha256, "notes_weights_sha256": hashlib.sha256(notes_file.read_bytes()).hexdigest()}
    return Listener(network, temperature, notes, digests)
