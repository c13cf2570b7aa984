"""Which case has which number. A case depends on the run's seed and its number alone, so each can be run again."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from random import Random
from typing import Any, Final

from tests.fuzz import (
    forms,
    hostile_pictures,
    hostile_requests,
    hostile_sound,
    hostile_videos,
    hostile_zips,
    seeds,
)
from tests.fuzz.case import Case, Hostile, Upload, chance
from tests.fuzz.mutations import MUTATIONS

_HOSTILE_FILES: Final[dict[str, Callable[[Random], Hostile]]] = {
    **hostile_videos.CATALOGUE,
    **hostile_sound.CATALOGUE,
    **hostile_zips.CATALOGUE,
    **hostile_pictures.CATALOGUE,
}
CATALOGUE: Final = (*_HOSTILE_FILES, *hostile_requests.CATALOGUE)
# Of five cases four are of the catalogue until all of it has been sent, so that a short run has tried everything
# once; from then on one of four.
_FIRST_ROUND: Final = len(CATALOGUE) * 5 // 4 + 1


def make_case(seed: int, number: int) -> Case:
    """Return case `number` of the run with `seed`."""
    rng = Random(f"{seed}:{number}")
    place = _place_in_catalogue(number)
    if place is None:
        return _mutated(number, rng)
    name = CATALOGUE[place % len(CATALOGUE)]
    if name in hostile_requests.CATALOGUE:
        request = hostile_requests.CATALOGUE[name](rng)
        return Case(number, name, request.fragments, request.expected, request.may_hang_up)
    found = _HOSTILE_FILES[name](rng)
    options = found.options if found.options or found.expected else forms.options_of(rng)
    if found.files[0].field == "audio":
        options = {"left": "flute", "right": "cello"} | found.options
    return Case(number, name, forms.request(_form(found.files, options)), found.expected)


def _place_in_catalogue(number: int) -> int | None:
    if number < _FIRST_ROUND:
        return None if number % 5 == 4 else number // 5 * 4 + number % 5
    return None if number % 4 else number // 4


def _mutated(number: int, rng: Random) -> Case:
    """A good upload, damaged: most often a video, with both sides named so that it is quickly done."""
    groups: tuple[dict[str, Upload], ...] = (seeds.videos(), seeds.sounds(), seeds.pictures())
    group = rng.choices(groups, (6, 3, 1))[0]
    kind = rng.choice(sorted(group))
    good = group[kind]
    other = rng.choice([upload for some in groups for upload in some.values()])
    how = rng.choice(sorted(MUTATIONS))
    content = MUTATIONS[how](good.content, other.content, rng)
    filename = forms.odd_name(rng) if chance(rng, 0.1) else other.filename if chance(rng, 0.2) else good.filename
    files = [Upload(good.field, filename, content)]
    options = forms.options_of(rng)
    if good.field == "frames":
        files.append(seeds.sounds()["16-bit wav"])
        if chance(rng, 0.5):
            options.pop("right", None)
    return Case(number, f"{kind}, {how}", forms.request(_form(files, options)))


def _form(files: Any, options: dict[str, str]) -> bytes:
    fields = [forms.field_part(name, value) for name, value in options.items()]
    return forms.form([*fields, *map(forms.file_part, files)])


def digest(case: Case) -> str:
    """Return a short name of the case's bytes: equal on two machines if they would send the same."""
    crc = 0
    for fragment in case.fragments:
        crc = zlib.crc32(fragment.data, crc)
    return f"{crc:08x}"
