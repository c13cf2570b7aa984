"""What a separation looks like in a notebook."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape


def html(
    players: Iterable[tuple[str, str, float | None, str]],
    warnings: Iterable[str],
    pictures: Iterable[tuple[str, bytes]],
) -> str:
    """Return a table of players (side, instrument, probability, file), a list of warnings, and pictures (alt, PNG)."""
    rows = "".join(
        f"<tr><td>{escape(side)}</td><td><b>{escape(instrument.replace('_', ' '))}</b></td>"
        f"<td>{'named' if probability is None else f'{probability:.2f}'}</td><td>{escape(file)}</td></tr>"
        for side, instrument, probability, file in players
    )
    head = "<tr><th>side</th><th>instrument</th><th>probability</th><th>file</th></tr>"
    notes = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    images = "".join(
        f'<img alt="{escape(alt)}" style="display:block;max-width:100%;margin:.3rem 0" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        for alt, png in pictures
    )
    return f"<table>{head}{rows}</table>{f'<ul>{notes}</ul>' if notes else ''}{images}"
