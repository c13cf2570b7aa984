"""How well two stems are separated, judged from the mask alone.

Where a mask is near 0 or 1, one player is heard alone; near a half both share a point, and what each is given is a
guess. If a mask m says how likely a point's energy is the left player's, the energy given to the wrong one is, on
average, m (1 - m) |X|^2. The energy of a stem over that, in dB, ranks stems by how clean they are; a straight line,
fitted for each separator on mixes whose truth is known (:mod:`models.training.certainty`), makes it an estimate of
the stem's SDR: of the scale-invariant one, the plain ratio of what is right to what is wrong. BSS Eval forgives a
filter as well and gives a dB or two more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

ESTIMATE_RANGE_DB = (-10.0, 30.0)
"""Beyond it the line is not known to hold."""
_TINY = 1e-20

Estimates = tuple[float, float]
"""The likely SDR in dB of the left and of the right stem."""
POOR_DB = 3.0
"""A stem whose SDR is below has less than twice as much right as wrong."""
WARNED_DB = 2.0
"""A stem whose likely SDR is below is warned of. Estimates err by some 2 dB: most of these are poor indeed, which
`duetto evaluate` counts."""


@dataclass(frozen=True, slots=True)
class Line:
    """An estimate of SDR in dB from the ratio of a stem's energy to that in doubt: offset + slope * ratio."""

    offset_db: float
    slope: float

    def at(self, ratio_db: float) -> float:
        """Return the estimate at a ratio."""
        return float(np.clip(self.offset_db + self.slope * ratio_db, *ESTIMATE_RANGE_DB))


@runtime_checkable
class Calibrated(Protocol):
    """A separator whose masks are known to tell how good they are."""

    @property
    def sdr_line(self) -> Line:
        """From what its mask leaves in doubt to SDR."""


class Certainty:
    """Adds up, over a recording, what a mask gives each player and what it leaves in doubt."""

    def __init__(self) -> None:
        self._left = self._right = self._doubt = 0.0

    def add(self, spectrum: NDArray[np.complex64], mask: NDArray[np.float32]) -> None:
        """Take a spectrum (channels, freq, frames) and the left player's share of it, (known freq, frames)."""
        power = np.square(np.abs(spectrum[:, : mask.shape[0]])).sum(axis=0, dtype=np.float64)
        self._left += float((power * np.square(mask)).sum())
        self._right += float((power * np.square(1.0 - mask)).sum())
        self._doubt += float((power * mask * (1.0 - mask)).sum())

    def ratios_db(self) -> tuple[float, float]:
        """Energy of the left and of the right stem over the energy in doubt; 0 dB where all is silent."""
        left, right = (
            10.0 * float(np.log10((energy + _TINY) / (self._doubt + _TINY))) for energy in (self._left, self._right)
        )
        return left, right

    def estimates_db(self, separator: object) -> Estimates | None:
        """Return the likely SDR of the left and of the right stem, or None if the separator is not calibrated."""
        if not isinstance(separator, Calibrated) or self._left + self._right == 0.0:
            return None
        left, right = (separator.sdr_line.at(ratio) for ratio in self.ratios_db())
        return left, right
