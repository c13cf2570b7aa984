"""The tag stage: who plays on which side, by the label rule that the job asks for.

`fused` listens to the sound and looks at frames until more would not change what they say (`models.players`); `report`
looks at every frame that the report looks at, and at nothing else (`models.duet`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.jobs.record import JobOptions
from app.methods import AUTO
from models import parallel
from models.duet import DuetLabels, label_duet
from models.hearing import Heard
from models.instruments import NAMES
from models.players import FusedLabels, label_players
from models.players.bars import Box
from models.players.fused import FIRST_FRAMES
from models.taggers import SceneTagger
from worker.engines import Engines
from worker.errors import Canceled, LabelsUnfit
from worker.levels import ShouldStop, sounding
from worker.media.kept import KeptSound
from worker.media.limits import MediaLimits
from worker.source import Source

KEPT_FRAMES = 4
"""These are spread over the recording, so the view that is shown longest is almost always among them."""
_DIGITS = 5


@dataclass(frozen=True)
class Seen:
    """The labels, and what they rest on.

    Attributes
    ----------
    labels : DuetLabels
    times_s : tuple of float
        When each frame that was looked at is shown, rising.
    tagger : dict
        Its provenance.
    looked_at_s : tuple of float
        The same times in the order in which the frames were looked at.
    kept : tuple of np.ndarray [shape=(height, width, 3), uint8, RGB]
        The first frames of that order, :data:`KEPT_FRAMES` at most, for pictures.
    fused : FusedLabels or None
        Where the rule was `fused`.
    listener : dict or None
        Provenance of the sound network, where there was something to hear.
    """

    labels: DuetLabels
    times_s: tuple[float, ...]
    tagger: dict[str, Any]
    looked_at_s: tuple[float, ...] = ()
    kept: tuple[NDArray[np.uint8], ...] = ()
    fused: FusedLabels | None = None
    listener: dict[str, Any] | None = None


def look(
    source: Source,
    sound: KeptSound,
    options: JobOptions,
    engines: Engines,
    limits: MediaLimits,
    progress: Callable[[int], None],
    should_stop: ShouldStop,
) -> Seen:
    """Find who plays. `progress` is given the number of frames looked at so far.

    Raises
    ------
    JobFailure
        Whatever is wrong with the media; Canceled if `should_stop` returned true; LabelsUnfit if the tagger cannot
        work by the rule.
    ModelsError
        What the models raise; PlayersUnclear if there are no two players to be told apart.
    """
    tagger = engines.tagger(options.tagger)
    fused = options.labels != "report" and isinstance(tagger, SceneTagger)
    if options.labels not in (AUTO, "report") and not fused:
        raise LabelsUnfit(
            f"The tagger {tagger.name} does not say where in a picture it sees an instrument, which the label rule "
            f"{options.labels} needs. Ask for the label rule report, or for another tagger."
        )
    times: list[float] = []
    kept: list[NDArray[np.uint8]] = []

    def images() -> Iterator[NDArray[np.uint8]]:
        for frame in source.frames(limits, should_stop, in_rounds=fused):
            if should_stop():
                raise Canceled
            times.append(round(frame.time_s, 3))
            if len(kept) < KEPT_FRAMES:
                kept.append(frame.image)
            yield frame.image

    if not isinstance(tagger, SceneTagger) or not fused:
        labels = label_duet(
            images(), tagger, left=options.left, right=options.right, progress=progress, should_stop=should_stop
        )
        return Seen(labels, tuple(times), tagger.provenance, tuple(times), tuple(kept))
    hearing = _listen(sound, engines, should_stop)
    frames = images()
    try:
        # Decoded in a process of its own meanwhile.
        first = list(islice(frames, FIRST_FRAMES))
    finally:
        wait([hearing])
    heard = hearing.result()
    found = label_players(
        chain(first, frames), heard, tagger, left=options.left, right=options.right, progress=progress,
        should_stop=should_stop,
    )  # fmt: skip
    return Seen(
        labels=_in_order(found.labels, times),
        times_s=tuple(sorted(times[: len(found.labels.left_probabilities)])),
        tagger=tagger.provenance,
        looked_at_s=tuple(times),
        kept=tuple(kept),
        fused=found,
        listener=None if heard is None else engines.listener().provenance,
    )


def opinions(seen: Seen | None) -> dict[str, Any] | None:
    """What the picture says, what the sound says, and what follows, for the result document."""
    if seen is None or seen.fused is None:
        return None
    found = seen.fused
    return {
        "picture": {
            "left": found.picture.left,
            "right": found.picture.right,
            "probability": _rounded_share(found.picture.probability),
        },
        "sound": None if found.heard is None else _heard(found.heard),
        "fused": {
            "left": found.fused.left,
            "right": found.fused.right,
            "probability": _rounded_share(found.fused.probability),
            "sure": found.sure,
        },
    }


def views(seen: Seen | None) -> list[dict[str, Any]] | None:
    """Where the players are in each view of them, for the result document; the one shown longest first."""
    if seen is None or seen.fused is None:
        return None
    return [
        {
            "share": _rounded_share(shot.share),
            "time_s": seen.looked_at_s[shot.frame],
            "width": shot.size[0],
            "height": shot.size[1],
            "cut": _rounded_share(shot.cut),
            "left": _box(shot.extents[0]),
            "right": _box(shot.extents[1]),
        }
        for shot in seen.fused.shots
    ]


def _listen(sound: KeptSound, engines: Engines, should_stop: ShouldStop) -> Future[Heard | None]:
    """Begin to listen to the recording's beginning; raises SilentSound if that is all there is, and silent."""
    listener = engines.listener()
    # Silence is refused before anybody looks for the players of a piece that nobody plays.
    blocks = sounding(sound.blocks(), should_stop)
    V = listener.beginning(blocks, sound.sample_rate, sound.channels)
    return parallel.begun(lambda V: listener.hear(V, should_stop), V)


def _in_order(labels: DuetLabels, times: list[float]) -> DuetLabels:
    """The same with the frames in the order in which they are shown."""
    order = np.argsort(times[: len(labels.left_probabilities)], kind="stable")
    return DuetLabels(
        left=labels.left,
        right=labels.right,
        step=labels.step,
        left_probabilities=labels.left_probabilities[order],
        right_probabilities=labels.right_probabilities[order],
    )


def _heard(heard: Heard) -> dict[str, Any]:
    return {
        "instruments": list(heard.best_pair),
        "probability": _rounded_share(float(np.exp(heard.pair_log_probabilities.max()))),
        "probabilities": {
            name: _rounded_share(float(value)) for name, value in zip(NAMES, heard.probabilities, strict=True)
        },
    }


def _box(box: Box) -> dict[str, float]:
    return {side: _rounded_share(getattr(box, side)) for side in ("left", "top", "right", "bottom")}


def _rounded_share(value: float) -> float:
    return round(value, _DIGITS)
