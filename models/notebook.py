"""What labels and stems look like in a notebook: HTML that needs nothing else, with pictures and sound inside.

Only what shows itself imports this, when it does.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import soundfile
from numpy.typing import NDArray

from models.instruments import NAMES
from models.pictures import Picture, SpectrogramStream, draw_spectrograms
from models.pictures.picture import spoken

HEARD_S = 60.0
"""Seconds of each sound that can be listened to: a notebook keeps them."""
_PIECE_S = 10.0
_MP3_RATES = frozenset({8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000})


def labels_html(
    labels: Sequence[tuple[str, str, float, str]], shares: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> str:
    """Return who plays on either side (side, instrument, probability, source) above a table of what was seen.

    Parameters
    ----------
    labels
        Of left and right.
    shares : two of np.ndarray [shape=(8,), float32, 0..1]
        Mean probabilities of the eight on the left and on the right.
    """
    said = ", ".join(
        f"<b>{escape(spoken(name))}</b> on the {side} ({f'{probability:.2f}' if source == 'tagger' else 'named'})"
        for side, name, probability, source in labels
    )
    chosen = [name for _, name, _, _ in labels]
    rows = "".join(
        f"<tr><td>{escape(spoken(name))}</td>"
        + "".join(_share(float(shares[k][row]), bold=name == chosen[k]) for k in (0, 1))
        + "</tr>"
        for row, name in enumerate(NAMES)
    )
    head = "<tr><th>seen, mean over the frames</th><th>left</th><th>right</th></tr>"
    return f"<p>{said}</p><table>{head}{rows}</table>"


def warnings_html(warnings: Iterable[str]) -> str:
    """Return a list of warnings, or nothing."""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f"<ul>{items}</ul>" if items else ""


def stems_html(
    left: NDArray[np.float32], right: NDArray[np.float32], sample_rate: int, players: tuple[str, str]
) -> str:
    """Return recording and stems, each with its spectrogram and, for its first minute, a player of its sound.

    Parameters
    ----------
    left, right : np.ndarray [shape=(channels, samples), float32, full scale 1.0]
    sample_rate : int [Hz]
    players : (str, str)
        The instruments on the left and on the right.
    """
    if left.shape[1] == 0:
        return "<p>Stems without a sample.</p>"
    stream = SpectrogramStream(sample_rate, left.shape[0], left.shape[1] / sample_rate)
    piece = round(_PIECE_S * sample_rate)
    for start in range(0, left.shape[1], piece):
        stream.add(left[:, start : start + piece], right[:, start : start + piece])
    pictures = draw_spectrograms(stream.finish(), *players)
    heard = slice(0, round(HEARD_S * sample_rate))
    left, right = left[:, heard], right[:, heard]
    # One gain for all three, so that they can be compared.
    gain = 1.0 / max(1.0, *(float(np.abs(sound).max()) for sound in (left + right, left, right)))
    sounds = [_audio(sound * np.float32(gain), sample_rate) for sound in (left + right, left, right)]
    return "".join(f"<div>{_image(one)}{sound}</div>" for one, sound in zip(pictures, sounds, strict=True))


def _share(value: float, *, bold: bool) -> str:
    text = f"{value:.2f}"
    return f"<td><b>{text}</b></td>" if bold else f"<td>{text}</td>"


def _image(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    return f'<img alt="{escape(picture.alt)}" style="display:block;max-width:100%" src="data:image/png;base64,{data}">'


def _audio(sound: NDArray[np.float32], sample_rate: int) -> str:
    """A player of a sound (channels, samples): mp3, or flac where that knows not the rate or so many channels."""
    kind = "mp3" if sample_rate in _MP3_RATES and sound.shape[0] <= 2 else "flac"
    buffer = io.BytesIO()
    soundfile.write(buffer, sound.T, sample_rate, format=kind.upper())
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<audio controls preload="none" src="data:audio/{"mpeg" if kind == "mp3" else kind};base64,{data}"></audio>'
