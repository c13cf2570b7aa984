"""The job itself, without queue or HTTP: media files in, two stems and a result document out.

Stages: probe (what is it?), tag (who is where?), separate (decode, split, write block by block),
encode (convert to the format that was asked for, finish the files and the document).
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.heap import give_back
from app.jobs.record import JobOptions
from app.jobs.states import Stage
from app.stem_formats import StemFormat
from app.stem_names import RESULT
from models.certainty import Certainty
from models.duet import FRAMES_PER_SECOND, MAX_FRAMES
from models.instruments import NAMES
from models.players.fused import FIRST_FRAMES
from models.separation import separate_blocks
from worker.choosing import notes_on, separator_for
from worker.engines import Engines
from worker.errors import Canceled, SilentSound
from worker.levels import SILENCE, Level
from worker.looking import Seen, look, opinions, views
from worker.media.kept import KeptSound
from worker.media.limits import MediaLimits
from worker.media.probe import MediaInfo
from worker.media.stems import StemPair, check_fit
from worker.pictures import JobPictures
from worker.quality import quality, quality_warnings
from worker.source import Source
from worker.waveform import Waveform

Report = Callable[[Stage, float], None]
ShouldStop = Callable[[], bool]

SHORT_CLIP_S = 1.0
# Seconds of work on two cores, to share out the progress bar: per frame looked at, per second of sound, and per
# second of sound that is converted (floats are written as they come).
_TAG_COST = 0.15
_SEPARATE_COST = 0.06
_ENCODE_COST: dict[StemFormat, float] = {"wav": 0.002, "flac": 0.003, "mp3": 0.06}
_USUAL_S = 60.0  # what a recording lasts whose header does not say
# Seconds of sound: without it, memory grows by 14 MiB a minute; to do it takes 0.03 s (both measured).
_GIVE_BACK_EVERY_S = 120
_PROBE_SHARE = 0.02
_ENCODE_SHARE = 0.02


def run_pipeline(
    source: Source,
    output: Path,
    options: JobOptions,
    engines: Engines,
    limits: MediaLimits,
    *,
    report: Report = lambda _stage, _fraction: None,
    should_stop: ShouldStop = lambda: False,
    probed: Callable[[MediaInfo], None] = lambda _info: None,
    pictures: bool = False,
) -> dict[str, Any]:
    """Separate one duet.

    Parameters
    ----------
    source : Source
    output : Path
        An existing folder; it gets both stems, for instance left.wav and right.wav, with the mix's rate,
        channels and length (worker/media/stems.py has the exceptions), and result.json.
    options : JobOptions
    engines : Engines
    limits : MediaLimits
    report : callable
        Called with the stage and the progress of the whole job, 0 to 1, never falling.
    should_stop : callable
        Looked at in every long loop.
    probed : callable
        Called once with what the header of the sound's file says.
    pictures : bool
        Whether to draw some as well, into `output` (worker/pictures.py).

    Returns
    -------
    dict
        The result document, as in result.json.

    Raises
    ------
    JobFailure
        Whatever is wrong with the media; Canceled if `should_stop` returned true.
    ModelsError
        What the models raise.
    """
    named = options.left is not None and options.right is not None
    report(Stage.PROBE, 0.0)
    info = source.probe(limits, needs_picture=not named, should_stop=should_stop)
    probed(info)
    # Before any work, where the header tells; what is decoded then has the last word.
    check_fit(options.format, info.sample_rate or 0, info.channels or 0)
    tag_share, separate_share = _shares(info, options, tags=not named)
    seen: Seen | None = None
    levels = {"mix": Level(), "left": Level(), "right": Level()}
    outlines = {"left": Waveform(), "right": Waveform()}
    certainty = Certainty()
    report(Stage.SEPARATE if named else Stage.TAG, _PROBE_SHARE)
    with KeptSound(source.sound, limits, should_stop) as sound:
        if not named:
            n_frames = _expected_frames(info, options)
            seen = look(
                source,
                sound,
                options,
                engines,
                limits,
                lambda n: report(Stage.TAG, _PROBE_SHARE + tag_share * min(1.0, n / n_frames)),
                should_stop,
            )
        left = seen.labels.left.instrument if seen else str(options.left)
        right = seen.labels.right.instrument if seen else str(options.right)
        begin = _PROBE_SHARE + tag_share
        report(Stage.SEPARATE, begin)
        separator = separator_for(sound, options, engines, should_stop)

        def mix() -> Iterator[NDArray[np.float32]]:
            for second, block in enumerate(sound.blocks(), start=1):
                if should_stop():
                    raise Canceled
                if second % _GIVE_BACK_EVERY_S == 0:
                    give_back()
                levels["mix"].add(block)
                yield block

        rate, channels = sound.sample_rate, sound.channels
        total = max(1.0, (info.duration_s or limits.max_duration_s) * rate)
        drawing = JobPictures(output, rate, channels, info.duration_s or _USUAL_S) if pictures else None
        with StemPair(output, options.format, options.bits, rate, channels) as stems:
            for pieces in separate_blocks(mix(), rate, channels, separator, left, right, should_stop, certainty):
                stems.write(pieces[0], pieces[1])
                for side, piece in zip(outlines, pieces, strict=True):
                    levels[side].add(piece)
                    outlines[side].add(piece)
                if drawing:
                    drawing.add(*pieces)
                report(Stage.SEPARATE, begin + separate_share * min(1.0, stems.samples / total))
            if levels["mix"].peak < SILENCE:
                raise SilentSound
            begin += separate_share
            encode_share = 1.0 - _ENCODE_SHARE - begin
            report(Stage.ENCODE, begin)
            stems.finish(lambda done: report(Stage.ENCODE, begin + encode_share * done), should_stop)
            report(Stage.ENCODE, 1.0 - _ENCODE_SHARE)
    samples = stems.samples
    likely = certainty.estimates_db(separator)
    result = {
        "labels": {"left": _label(seen, "left", left), "right": _label(seen, "right", right)},
        "tagger": seen.tagger["name"] if seen else None,
        "separator": separator.name,
        "warnings": [
            *_warnings(samples / rate, seen),
            *notes_on(separator, left),
            *quality_warnings(likely, left, right),
            *stems.warnings,
        ],
        "quality": quality(likely, left, right),
        "label_rule": _rule(seen),
        "opinions": opinions(seen),
        "views": views(seen),
        "probabilities": _probabilities(seen),
        "pictures": drawing.finish(seen, left, right, samples / rate) if drawing else [],
        "sound": {
            "sample_rate": rate,
            "channels": channels,
            "samples": samples,
            "duration_s": round(samples / rate, 6),
            "format": options.format,
            "bits": options.bits,
            "stem_sample_rate": stems.sample_rate,
            "gain_db": stems.gain_db,
            "levels": {name: level.as_decibels() for name, level in levels.items()},
            "waveform": {
                "seconds_per_point": outlines["left"].samples_per_point / rate,
                **{side: outline.points() for side, outline in outlines.items()},
            },
        },
        "provenance": {
            "duetto": importlib.metadata.version("duetto"),
            "torch": importlib.metadata.version("torch"),
            "tagger": seen.tagger if seen else None,
            "listener": seen.listener if seen else None,
            "separator": {"name": separator.name, **separator.parameters},
            "bases": separator.provenance,
        },
    }
    (output / RESULT).write_text(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    return result


def _expected_frames(info: MediaInfo, options: JobOptions) -> int:
    """How many frames will be looked at; an estimate, for the progress bar."""
    most = MAX_FRAMES if options.labels == "report" else 2 * FIRST_FRAMES
    if info.duration_s is None:
        return most
    return max(1, min(most, round(info.duration_s * FRAMES_PER_SECOND)))


def _shares(info: MediaInfo, options: JobOptions, *, tags: bool) -> tuple[float, float]:
    """How much of the progress bar tagging and separating take."""
    rest = 1.0 - _PROBE_SHARE - _ENCODE_SHARE
    duration_s = info.duration_s or _USUAL_S
    tag = _TAG_COST * _expected_frames(info, options) if tags else 0.0
    separate = _SEPARATE_COST * duration_s + 1.0
    encode = 0.0 if options.bits == 32 else _ENCODE_COST[options.format] * duration_s
    work = tag + separate + encode
    return rest * tag / work, rest * separate / work


def _label(seen: Seen | None, side: str, name: str) -> dict[str, Any]:
    if seen is None:
        return {"instrument": name, "probability": None, "source": "request"}
    label = seen.labels.left if side == "left" else seen.labels.right
    return {"instrument": label.instrument, "probability": label.probability, "source": label.source}


def _rule(seen: Seen | None) -> dict[str, Any]:
    if seen is None:
        return {"name": "report", "step": "request", "frames": 0}
    name = "report" if seen.fused is None else "fused"
    return {"name": name, "step": str(seen.labels.step), "frames": len(seen.times_s)}


def _probabilities(seen: Seen | None) -> dict[str, Any] | None:
    """Probabilities over time: one row of eight a frame, for either half."""
    if seen is None:
        return None
    return {
        "instruments": list(NAMES),
        "times_s": list(seen.times_s),
        "left": _rounded(seen.labels.left_probabilities),
        "right": _rounded(seen.labels.right_probabilities),
    }


def _rounded(probabilities: NDArray[np.float32]) -> list[list[float]]:
    rows: list[list[float]] = np.round(probabilities.astype(np.float64), 5).tolist()
    return rows


def _warnings(duration_s: float, seen: Seen | None) -> list[str]:
    too_short = (
        f"The clip lasts only {duration_s:.2f} s: labels and stems rest on very little. "
        "Give a second or more, ten for good stems."
    )
    doubts = seen.fused.warnings if seen and seen.fused else ()
    return [*([too_short] if duration_s < SHORT_CLIP_S else []), *doubts]
