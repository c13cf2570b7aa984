"""Who plays where: what each kind of evidence is worth, on a test set in the report's layout; and what becomes of clips
that are no duet, made of the same pictures and sounds.

``python -m tests.bench.compare_labels DIR`` prints the tables of docs/benchmarks.md. The report's own rule is measured
by ``duetto evaluate DIR --labels report``.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import PlayersUnclear
from models.evaluation.layout import Duet, read_layout
from models.evaluation.sound import read_truth
from models.hearing import Heard, Listener, load_listener
from models.hearing.features import band_powers
from models.hearing.listening import NOTES_TEMPERATURE
from models.hearing.pairs import pair_log_probabilities, place_of_pair
from models.instruments import NAMES, index_of
from models.players import FusedLabels, label_players
from models.players.classes import of_the_eight, softmax
from models.players.fusion import best, ordered_pairs
from models.players.picture import MISNAMED
from models.players.sides import log_shares
from models.stft import magnitude
from models.taggers import SceneTagger, load_tagger
from tests.hard_frames import LEFT, RIGHT, beside, boxed, fitted, halves
from worker.commands.evaluate import frames_of
from worker.media.limits import MediaLimits

Frame = NDArray[np.uint8]
Pair = tuple[str, str]
WIDTH, HEIGHT = 640, 360
WALL = (90, 110, 120)
_SEED = 1


@dataclass(frozen=True)
class Player:
    """One player of a duet: name, two pictures, sound (samples,)."""

    instrument: str
    pictures: tuple[Frame, ...]
    sound: NDArray[np.float32]
    rate: int


def main() -> int:
    """Measure; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tagger, listener = load_tagger("efficientnet-lite2", offline=True), load_listener()
    assert isinstance(tagger, SceneTagger)
    duets = read_layout(arguments.directory, needs_labels=True, needs_pictures=True)
    seen = [look(duet, tagger, listener) for duet in duets]
    print_evidence(duets, seen, tagger, listener)
    print_hard_frames(tagger)
    print_edges(duets, seen, tagger, listener)
    return 0


def look(duet: Duet, tagger: SceneTagger, listener: Listener) -> FusedLabels:
    """Label a duet as a job does, but refuse nothing."""
    mix, _, rate = read_truth(duet)
    heard = listener.listen([mix], rate, mix.shape[0])
    return label_players(frames_of(duet, True, limits=MediaLimits()), heard, tagger, refuses=False)


def print_evidence(duets: Sequence[Duet], seen: Sequence[FusedLabels], tagger: SceneTagger, listener: Listener) -> None:
    """Print how many duets each kind of evidence has right, and how probable it makes the truth."""
    right: Counter[str] = Counter()
    shares: defaultdict[str, list[float]] = defaultdict(list)
    ranks = []
    for duet, found in zip(duets, seen, strict=True):
        assert duet.labels is not None
        assert found.heard is not None
        truth = (index_of(duet.labels[0]), index_of(duet.labels[1]))
        mix, _, rate = read_truth(duet)
        of_sound = listener_parts(listener, magnitude(mix, rate)) | {"sound: both": found.heard.log_odds}
        for name, log_odds in of_sound.items():
            pairs = pair_log_probabilities(log_odds)
            place = place_of_pair(*truth)
            right[name] += int(pairs.argmax()) == place
            shares[name].append(float(pairs[place]))
        ranks.append(1 + int((found.heard.pair_log_probabilities > found.heard.pair_log_probabilities[place]).sum()))
        middle = sides_of_middle(list(islice(frames_of(duet, True, limits=MediaLimits()), 8)), tagger)
        heard = found.heard.pair_log_probabilities
        for name, table in {
            "picture, halves": ordered_pairs(middle, None),
            "picture, halves, and sound": ordered_pairs(middle, heard),
        }.items():
            right[name] += best(table) == truth
            shares[name].append(float(np.log(table[truth])))
        right["picture, cut found"] += (found.picture.left, found.picture.right) == duet.labels
        right["picture, cut found, and sound (fused)"] += (found.fused.left, found.fused.right) == duet.labels
        print(
            f"  {duet.name}: {found.fused.left}, {found.fused.right} {found.fused.probability:.2f}"
            f"{'' if found.sure else ' not sure'}, {len(found.labels.left_probabilities)} frames"
        )
    print(f"\nboth sides right, of {len(duets)}")
    for name, count in right.items():
        probability = f", probability of the truth {np.exp(np.mean(shares[name])):.2f}" if name in shares else ""
        print(f"  {name}: {count}{probability}")
    print(f"  median rank of the true pair by sound: {np.median(ranks):.0f} of 28\n")


def listener_parts(listener: Listener, V: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Log-odds (8) of each of the listener's networks alone."""
    of_patches = listener._hear_patches(band_powers(V))
    assert of_patches is not None
    return {
        "sound: 5 s as a whole": of_patches / listener._temperature,
        "sound: notes": listener._hear_notes(V, None) / NOTES_TEMPERATURE,
    }


def sides_of_middle(frames: Sequence[Frame], tagger: SceneTagger) -> NDArray[np.float64]:
    """Log-probabilities (2, 8) as :attr:`models.players.picture.PictureEvidence.sides`, but of the frame's halves."""
    certain = []
    for frame in frames:
        middle = frame.shape[1] // 2
        parts = [tagger.scene(half) for half in (frame[:, :middle], frame[:, middle:])]
        scores = np.stack([tagger.class_maps(part[None])[0].mean(axis=(0, 1)) for part in parts])
        certain.append(log_shares(of_the_eight(softmax(scores.astype(np.float64)))))
    shares = np.exp(np.mean(certain, axis=0))
    shares /= shares.sum(axis=1, keepdims=True)
    mixed: NDArray[np.float64] = np.log((1.0 - MISNAMED) * shares + MISNAMED / len(NAMES))
    return mixed


def print_hard_frames(tagger: SceneTagger) -> None:
    """Print who is found in the example's own players where the frame is hard: by halves, and by the cut found."""
    shown = halves()[:2]
    kinds = {f"cut at {share:.0%}": [beside(*pair, share) for pair in shown] for share in np.arange(20, 81, 10) / 100}
    kinds |= {
        "letterbox, cut at 35%": [boxed(beside(*pair, 0.35), 0.2) for pair in shown],
        "vertical, cut at 35%": [beside(*pair, 0.35, 360, 640) for pair in shown],
        "vertical in a wide frame, cut at 60%": [
            boxed(beside(*pair, 0.6, 360, 640), 0.3, upright=True) for pair in shown
        ],
    }
    for name, frames in kinds.items():
        found = label_players(frames, None, tagger, refuses=False)
        by_halves = best(ordered_pairs(sides_of_middle(frames, tagger), None))
        fused = "right" if (found.labels.left.instrument, found.labels.right.instrument) == (LEFT, RIGHT) else "wrong"
        plain = "right" if (NAMES[by_halves[0]], NAMES[by_halves[1]]) == (LEFT, RIGHT) else "wrong"
        print(f"  {name}: halves {plain}, fused {fused}, cut {found.shots[0].cut:.2f}")


def print_edges(duets: Sequence[Duet], seen: Sequence[FusedLabels], tagger: SceneTagger, listener: Listener) -> None:
    """Print what becomes of clips that are no duet: refused, warned of, or nothing said."""
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for kind, frames, sound, rate in edges(list(players_of(duets, seen))):
        outcomes[kind][outcome(frames, listener.listen([sound[None]], rate, 1), tagger)] += 1
    for found in seen:
        outcomes["duets"]["warned of" if found.warnings else "nothing said"] += 1
    print("\nclips that are no duet of two instruments")
    for kind, counts in outcomes.items():
        print(f"  {kind}: {', '.join(f'{what} {count}' for what, count in sorted(counts.items()))}")


def players_of(duets: Sequence[Duet], seen: Sequence[FusedLabels]) -> Iterator[tuple[Player, Player]]:
    """Both players of each duet, parted where the frame was cut."""
    for duet, found in zip(duets, seen, strict=True):
        assert duet.labels is not None
        _, sounds, rate = read_truth(duet)
        frames = list(islice(frames_of(duet, True, limits=MediaLimits()), 2))
        at = round(found.shots[0].cut * frames[0].shape[1])
        left, right = tuple(frame[:, :at] for frame in frames), tuple(frame[:, at:] for frame in frames)
        yield Player(duet.labels[0], left, sounds[0], rate), Player(duet.labels[1], right, sounds[1], rate)


def edges(duets: Sequence[tuple[Player, Player]]) -> Iterator[tuple[str, list[Frame], NDArray[np.float32], int]]:
    """Clips that are no duet: kind, frames, sound (samples,), rate [Hz]."""
    rng = random.Random(_SEED)  # noqa: S311 - the same clips on each run
    players = [player for pair in duets for player in pair]
    for player in players:
        yield (
            "one player, over the whole frame",
            [filled(one, WIDTH) for one in player.pictures],
            player.sound,
            player.rate,
        )
    for player in players[::2]:
        wall = np.full((HEIGHT, WIDTH // 2, 3), WALL, np.uint8)
        frames = [np.concatenate([filled(one, WIDTH // 2), wall], axis=1) for one in player.pictures]
        yield "one player, beside a wall", frames, player.sound, player.rate
    for name in NAMES:
        pairs = list(combinations([player for player in players if player.instrument == name], 2))
        for pair in rng.sample(pairs, min(4, len(pairs))):
            yield "two players of one instrument", in_a_row(pair), mixed(pair), pair[0].rate
    for left, right in duets[::2]:
        third = rng.choice([one for one in players if one.instrument not in (left.instrument, right.instrument)])
        trio = (left, third, right)
        yield "three players", in_a_row(trio), mixed(trio), left.rate


def outcome(frames: Sequence[Frame], heard: Heard | None, tagger: SceneTagger) -> str:
    """What a job would say."""
    try:
        found = label_players(frames, heard, tagger)
    except PlayersUnclear:
        return "refused"
    if any(note.startswith("Three players") for note in found.warnings):
        return "warned of, by its name"
    return "warned of" if found.warnings else "nothing said"


def filled(picture: Frame, width: int) -> Frame:
    """The picture over all of `width` x HEIGHT, what is too much cut off."""
    wide = max(width, round(picture.shape[1] * HEIGHT / picture.shape[0]))
    grown = fitted(picture, wide, HEIGHT)
    begin = (wide - width) // 2
    return grown[:, begin : begin + width]


def in_a_row(players: Sequence[Player]) -> list[Frame]:
    """Players side by side, equally wide."""
    width = WIDTH // len(players)
    return [
        np.concatenate([filled(one, width) for one in pictures], axis=1)
        for pictures in zip(*(player.pictures for player in players), strict=False)
    ]


def mixed(players: Sequence[Player]) -> NDArray[np.float32]:
    """All at once, equally loud, as long as the shortest."""
    length = min(len(player.sound) for player in players)
    parts = [player.sound[:length] for player in players]
    loud = [0.05 * part / max(float(np.sqrt(np.square(part).mean())), 1e-9) for part in parts]
    return np.sum(loud, axis=0).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
