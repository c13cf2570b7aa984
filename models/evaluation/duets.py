"""One duet: look who plays, separate, measure. What was done before is taken from the ledger.

Work on a duet is an object that is called with it, so that it can be sent to another process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.certainty import Certainty
from models.duet import label_duet
from models.evaluation.errors import EvaluationError
from models.evaluation.layout import Duet, Pair
from models.evaluation.ledger import Ledger, files_sha256, fingerprint
from models.evaluation.results import AUDIO, FoundStems, stem_names
from models.evaluation.scores import Scores, Sides, ceiling, floor, score
from models.evaluation.sound import read_stems, read_truth, write_stems
from models.evaluation.unequal import QuieterSides, quieter_sdr
from models.hearing import Listener
from models.players import FusedLabels, label_players
from models.separation import separate
from models.separators.protocol import AnySeparator
from models.taggers.protocol import SceneTagger, Tagger

FOUND = "results"  # name of the method where stems were made elsewhere

Frames = Iterable[NDArray[np.uint8]]


@dataclass(frozen=True)
class MethodResult:
    """What one method made of a duet.

    Attributes
    ----------
    labels : (left, right) or None
        Who was taken to play; None if that is not known.
    scores : Scores or None
        None where a stem is silent.
    likely_sdr : (left, right) or None
        SDR in dB that the separator itself expects (:mod:`models.certainty`); None where it does not say.
    quieter_sdr : dict
        By how many dB one player is quieter: its SDR, for the left player and for the right one
        (:mod:`models.evaluation.unequal`).
    """

    labels: Pair | None
    scores: Scores | None
    likely_sdr: Sides | None = None
    quieter_sdr: dict[str, QuieterSides] = field(default_factory=dict)


@dataclass(frozen=True)
class DuetResult:
    """All that was measured on a duet.

    Attributes
    ----------
    name : str
    truth : (left, right) or None
        Who really plays.
    seen : dict or None
        What the tagger said: for either side instrument and probability, and the rule's step.
    floor, ceiling : (left, right)
        SDR in dB of the unseparated mix and under the ideal ratio mask.
    methods : dict
        Results by the method's name.
    """

    name: str
    truth: Pair | None
    seen: dict[str, Any] | None
    floor: Sides
    ceiling: Sides
    methods: dict[str, MethodResult]


@dataclass(frozen=True)
class Separation:
    """Separates a duet with every separator, writes the stems and measures them.

    Attributes
    ----------
    separators : mapping
        By the method's name.
    folders : mapping
        Where each method's `result_audio` goes, by the same names.
    tagger : Tagger or None
        None: the true labels are used.
    listener : Listener or None
        None: labels by the report's rule; else by picture and sound, for which the tagger must be a `SceneTagger`.
    frames_of : callable
        Gives the frames of a duet to look at, (height, width, 3) uint8 RGB, 200 at most; in rounds that halve the
        gaps, if its second argument is true.
    kept : Path
        Folder of the ledger.
    code : str
        Version of the code, part of every fingerprint.
    unequal_db : tuple of float
        Differences in loudness at which each duet is mixed and separated again, each player once the quieter one.
    """

    separators: Mapping[str, AnySeparator]
    folders: Mapping[str, Path]
    tagger: Tagger | None
    listener: Listener | None
    frames_of: Callable[[Duet, bool], Frames]
    kept: Path
    code: str
    unequal_db: tuple[float, ...] = ()

    def __call__(self, duet: Duet) -> DuetResult:
        """Evaluate one duet.

        Raises
        ------
        EvaluationError
            If a file of it cannot be used, or its true labels are wanted and not known.
        ModelsError
            What labelling or separation raises.
        """
        ledger = Ledger(self.kept)
        truth_sha256 = files_sha256((duet.mix, duet.left, duet.right))
        bounds = _bounds(duet, truth_sha256, ledger, self.code)
        seen = self._look(duet, ledger)
        labels = duet.labels if seen is None else (seen["left"]["instrument"], seen["right"]["instrument"])
        if labels is None:
            raise EvaluationError(f"who plays in {duet.name} is not known; use a tagger, or list it in labels.json")
        methods = {name: self._separate(duet, name, labels, truth_sha256, ledger) for name in self.separators}
        return DuetResult(duet.name, duet.labels, seen, *bounds, methods)

    def _look(self, duet: Duet, ledger: Ledger) -> dict[str, Any] | None:
        if self.tagger is None:
            return None
        pictures = duet.images or (() if duet.video is None else (duet.video,))
        sound = (self.listener.provenance, files_sha256([duet.mix])) if self.listener else None
        wanted = fingerprint(self.code, self.tagger.provenance, files_sha256(pictures), sound)
        key = f"{duet.name}/labels-{self.tagger.name}-{'report' if self.listener is None else 'fused'}"
        if (kept := ledger.get(key, wanted)) is not None:
            return kept
        fused = None if self.listener is None else self._look_and_listen(duet, self.tagger, self.listener)
        labels = label_duet(self.frames_of(duet, False), self.tagger) if fused is None else fused.labels
        seen: dict[str, Any] = {
            side: {"instrument": label.instrument, "probability": label.probability}
            for side, label in (("left", labels.left), ("right", labels.right))
        } | {"step": str(labels.step)}
        if fused is not None:
            seen["picture"] = [fused.picture.left, fused.picture.right]
            seen["sound"] = None if fused.heard is None else list(fused.heard.best_pair)
            seen["probability"] = fused.fused.probability
            seen["warnings"] = list(fused.warnings)
        ledger.put(key, wanted, seen)
        return seen

    def _look_and_listen(self, duet: Duet, tagger: Tagger, listener: Listener) -> FusedLabels:
        if not isinstance(tagger, SceneTagger):
            raise EvaluationError(f"{tagger.name} does not say where it sees what; use --labels report")
        mix, _, sample_rate = read_truth(duet)
        heard = listener.listen([mix], sample_rate, mix.shape[0])
        # Who is refused would drop out of the means; the most likely pair counts instead.
        return label_players(self.frames_of(duet, True), heard, tagger, refuses=False)

    def _separate(self, duet: Duet, method: str, labels: Pair, truth_sha256: str, ledger: Ledger) -> MethodResult:
        separator = self.separators[method]
        folder = self.folders[method] / AUDIO
        files = [folder / name for name in stem_names(duet.name)]
        wanted = fingerprint(self.code, separator.name, separator.parameters, labels, truth_sha256)
        key = f"{duet.name}/{method}"
        kept = ledger.get(key, wanted)
        if kept is None or not all(file.is_file() for file in files) or files_sha256(files) != kept["stems_sha256"]:
            mix, references, sample_rate = read_truth(duet)
            certainty = Certainty()
            stems = separate(mix, sample_rate, separator, *labels, certainty=certainty)
            write_stems(folder, stem_names(duet.name), stems, sample_rate)
            # (channels, samples) of each -> (2, samples)
            scores = score(references, np.stack([stem.mean(axis=0) for stem in stems]))
            kept = _record(scores) | {
                "likely_sdr": certainty.estimates_db(separator), "stems_sha256": files_sha256(files)
            }  # fmt: skip
            ledger.put(key, wanted, kept)
        quieter = {
            f"{below:g}": self._quieter(duet, method, labels, below, wanted, ledger) for below in self.unequal_db
        }
        likely = kept["likely_sdr"]
        return MethodResult(labels, _scores(kept), None if likely is None else (likely[0], likely[1]), quieter)

    def _quieter(
        self, duet: Duet, method: str, labels: Pair, below_db: float, wanted: str, ledger: Ledger
    ) -> QuieterSides:
        # No separator's name holds an @.
        key = f"{duet.name}/{method}@{below_db:g}"
        kept = ledger.get(key, wanted)
        if kept is None:
            _, references, sample_rate = read_truth(duet)
            found = quieter_sdr(references, sample_rate, self.separators[method], labels, below_db)
            kept = {"left": found[0], "right": found[1]}
            ledger.put(key, wanted, kept)
        return kept["left"], kept["right"]


@dataclass(frozen=True)
class Scoring:
    """Measures stems that are there already, by the duet's name. `kept` and `code` as in :class:`Separation`."""

    found: Mapping[str, FoundStems]
    kept: Path
    code: str

    def __call__(self, duet: Duet) -> DuetResult:
        """Score the stems of one duet.

        Raises
        ------
        EvaluationError
            If a file of it cannot be used.
        """
        ledger = Ledger(self.kept)
        stems = self.found[duet.name]
        truth_sha256 = files_sha256((duet.mix, duet.left, duet.right))
        bounds = _bounds(duet, truth_sha256, ledger, self.code)
        wanted = fingerprint(self.code, truth_sha256, files_sha256(stems.files))
        # A separator's own record must not be replaced: no separator's name holds an @.
        key = f"{duet.name}/{FOUND}@"
        kept = ledger.get(key, wanted)
        if kept is None:
            _, references, sample_rate = read_truth(duet)
            kept = _record(score(references, read_stems(stems.files, duet, references.shape[1], sample_rate)))
            ledger.put(key, wanted, kept)
        return DuetResult(duet.name, duet.labels, None, *bounds, {FOUND: MethodResult(stems.labels, _scores(kept))})


def _bounds(duet: Duet, truth_sha256: str, ledger: Ledger, code: str) -> tuple[Sides, Sides]:
    """Floor and ceiling."""
    wanted = fingerprint(code, truth_sha256)
    key = f"{duet.name}/bounds@"
    kept = ledger.get(key, wanted)
    if kept is None:
        mix, references, sample_rate = read_truth(duet)
        kept = {"floor": floor(mix, references), "ceiling": ceiling(mix, references, sample_rate)}
        ledger.put(key, wanted, kept)
    return (kept["floor"][0], kept["floor"][1]), (kept["ceiling"][0], kept["ceiling"][1])


def _record(scores: Scores | None) -> dict[str, Any]:
    return {"scores": None if scores is None else scores.as_dict()}


def _scores(record: dict[str, Any]) -> Scores | None:
    return None if record["scores"] is None else Scores.of_dict(record["scores"])
