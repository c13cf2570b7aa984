"""``python -m tests.bench.compare_phases SOLOS NETWORK``: whether better phases are worth their time.

Stems keep the phase of the mix. MISI (Gunawan and Sen 2010) gives each stem the phases that its magnitude, made a
signal and analysed again, would have, and shares what is then missing of the mix. Duets, solos and network are those
of :mod:`tests.bench.compare_bases`; `learned` has heard the solos, which flatters its masks, not its phases.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.masks import ratio_mask
from models.metrics import sdr
from models.miml import load_miml
from models.refiner import load_default_refiner
from models.separators import AdaptiveNMF, Learned
from models.stft import HOP, N_FFT
from models.training.solos import list_solos
from tests.bench.compare_bases import banks, covering, make_duets

ITERATIONS = (0, 1, 2, 5, 10)


def misi(mix: NDArray[np.float32], share: NDArray[np.float32], iterations: int) -> NDArray[np.float32]:
    """Return the stems (2, samples) of a mix (samples,) after some iterations, 0 for the mix's own phases."""
    window = torch.hann_window(N_FFT)
    sound = torch.from_numpy(mix)
    spectrum = torch.stft(sound, N_FFT, HOP, window=window, return_complex=True)
    mask = torch.from_numpy(share)
    magnitudes = torch.stack([mask, 1.0 - mask]) * spectrum.abs()
    phases = torch.stack([spectrum.angle()] * 2)
    stems = torch.istft(torch.polar(magnitudes, phases), N_FFT, HOP, window=window, length=len(mix))
    for _ in range(iterations):
        stems = stems + (sound - stems.sum(dim=0)) / 2
        phases = torch.stft(stems, N_FFT, HOP, window=window, return_complex=True).angle()
        stems = torch.istft(torch.polar(magnitudes, phases), N_FFT, HOP, window=window, length=len(mix))
    return np.asarray((stems + (sound - stems.sum(dim=0)) / 2).numpy(), dtype=np.float32)


def main(folder: Path, network_file: Path) -> None:
    """Print the table: mean SDR by mask and number of iterations."""
    solos = list_solos(folder)
    guided = [AdaptiveNMF(bank) for bank in banks(solos, covering(load_miml(network_file)[0], 800, 0))]
    learned = [Learned(separator, *load_default_refiner()) for separator in guided]
    scores: dict[str, list[list[float]]] = {"nmf": [], "learned": [], "ideal": []}
    for duet in make_duets(solos):
        mix = duet.stems.sum(axis=0)
        window = torch.hann_window(N_FFT)
        V, V_left, V_right = (
            torch.stft(torch.from_numpy(sound), N_FFT, HOP, window=window, return_complex=True).abs().numpy()
            for sound in (mix, *duet.stems)
        )
        shares = {
            "nmf": guided[duet.fold].mask(V, *duet.names),
            "learned": learned[duet.fold].mask(V, *duet.names),
            "ideal": ratio_mask(V_left, V_right),
        }
        for name, share in shares.items():
            scores[name].append([float(sdr(duet.stems, misi(mix, share, n)).mean()) for n in ITERATIONS])
    print(f"| mask | {' | '.join(f'{n} iterations' for n in ITERATIONS)} |\n|---|{'---|' * len(ITERATIONS)}")
    for name, rows in scores.items():
        print(f"| {name} | {' | '.join(f'{mean:.2f}' for mean in np.mean(rows, axis=0))} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
