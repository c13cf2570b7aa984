"""Doubts: when there are not two different instruments of the eight to be told apart, as far as evidence shows it.

What cannot be separated, or not be told left from right, is refused; what may be wrong is given with a warning. To
refuse a good duet is worse than to warn of it: the picture must be clear, and the sound must not say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.hearing import Heard
from models.instruments import NAMES
from models.players.classes import OTHERS
from models.players.trios import Trio

NAME_THEM = "name the instruments with `left` and `right`"

_NOTHING = 0.02  # probability of what is not seen
_FAINT = 0.1  # of what may be seen
_RATHER = 5.0  # times as probable as the eight together is what is none of them
_CLEAR = 0.5  # of what is seen
_SILENT = 0.35  # of an instrument that is not heard
# By how much better one instrument must fit than two. Of the 24 duets of the measuring set, the highest is 0.30 (cello
# and violin), the next -0.50; of the hard frames 0.14. docs/benchmarks.md has more.
_PERHAPS_ALIKE = 0.2  # nats
_ALIKE = 1.0  # nats
_AGREES = 0.5  # less, where no other instrument is heard
_OBJECTS = 1.0  # more, where another one is heard more surely
_SIDES_TOLD = 0.6  # of left and right not being swapped
_SIDES = ("left", "right")


@dataclass(frozen=True)
class Evidence:
    """What is known before the labels are given.

    Attributes
    ----------
    sides : np.ndarray [shape=(2, 8), float64, 0..1]
        Mean probabilities of the eight on the left and on the right, as the network gives them.
    others : np.ndarray [shape=(2, 17), float64, 0..1]
        Of the instruments beside the eight (`classes.OTHERS`).
    trio : Trio
        The three players that are most seen side by side.
    alike : (int, float)
        The instrument that fits both sides best, and by how many nats better than any two different ones.
    heard : Heard or None
        None where there was nothing to hear.
    pairs : np.ndarray [shape=(8, 8), float64, 0..1]
        Of ordered pairs, by picture and sound.
    """

    sides: NDArray[np.float64]
    others: NDArray[np.float64]
    trio: Trio
    alike: tuple[int, float]
    heard: Heard | None
    pairs: NDArray[np.float64]

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Whether no instrument at all is seen on either side (2)."""
        eight, others = self.sides.sum(axis=1), self.others.max(axis=1)
        return np.asarray((eight < _NOTHING) & (others < _FAINT), dtype=np.bool_)


def refusal(evidence: Evidence) -> str | None:
    """Say why there are no two players to be told apart; None if there may well be."""
    if evidence.empty.all() and _order(evidence.pairs) < _SIDES_TOLD:
        heard = evidence.heard
        hint = "" if heard is None else " The sound is most like {} and {}.".format(*map(_spoken, heard.best_pair))
        return (
            f"no instrument is to be seen in the picture, so it cannot be told who plays left and who right.{hint} "
            f"Please {NAME_THEM}"
        )
    for side in (0, 1):
        seen = int(evidence.sides[side].argmax())
        if evidence.sides[side, seen] >= _CLEAR and evidence.empty[1 - side] and _alone(seen, evidence.heard):
            return (
                f"only one player is found: {_spoken(NAMES[seen])}, on the {_SIDES[side]}. Nothing else is seen or "
                f"heard that could be separated. If there are two, {NAME_THEM}"
            )
    place, better = evidence.alike
    if better >= _ALIKE - _AGREES * _alone(place, evidence.heard) + _OBJECTS * _louder(place, evidence.heard):
        name = NAMES[place]
        return (
            f"only one instrument is found, {_spoken(name)}: it is one player, or two with the same instrument. If "
            f"two play it, and the recording is stereo, name it for both: left={name}, right={name}. If they play "
            f"different ones, {NAME_THEM}"
        )
    return None


def warnings(evidence: Evidence, labels: tuple[str, str]) -> tuple[str, ...]:
    """Say what may be wrong with the labels that are given, in plain words."""
    found = []
    for side, label in enumerate(labels):
        others = evidence.others[side]
        if evidence.empty[side]:
            basis = "a guess" if evidence.heard is None else "what the sound suggests"
            found.append(
                f"No instrument is to be seen on the {_SIDES[side]}; {_spoken(label)} is {basis}. "
                f"If that is wrong, {NAME_THEM}."
            )
        elif others.max() >= max(_FAINT, _RATHER * evidence.sides[side].sum()):
            other = list(OTHERS.values())[int(others.argmax())]
            found.append(
                f"The {_SIDES[side]} side looks like {_article(other)}, which is none of the eight instruments; it is "
                f"separated as {_spoken(label)}. If that is wrong, {NAME_THEM}."
            )
    place, better = evidence.alike
    if better >= _PERHAPS_ALIKE:
        found.append(
            f"The picture may show {_spoken(NAMES[place])} on both sides, or one player only. If it is not "
            f"{_spoken(labels[0])} on the left and {_spoken(labels[1])} on the right, {NAME_THEM}."
        )
    if evidence.trio.probability >= _FAINT:
        seen = ", ".join(_spoken(NAMES[place]) for place in evidence.trio.places)
        found.append(
            f"Three players seem to be in the picture: {seen}. Two are separated, {_spoken(labels[0])} and "
            f"{_spoken(labels[1])}; what the third one plays is in one of their stems or in both. If these are not the "
            f"two, {NAME_THEM}."
        )
    return tuple(found)


def _alone(place: int, heard: Heard | None) -> bool:
    """Whether no other instrument is heard."""
    return heard is not None and bool((np.delete(heard.probabilities, place) < _SILENT).all())


def _louder(place: int, heard: Heard | None) -> bool:
    """Whether another instrument is heard, and that more surely."""
    if heard is None:
        return False
    return float(np.delete(heard.probabilities, place).max()) >= max(_CLEAR, float(heard.probabilities[place]))


def _order(pairs: NDArray[np.float64]) -> float:
    """How sure it is that the best pair is not the other way round, 0.5 to 1."""
    left, right = np.unravel_index(int(pairs.argmax()), pairs.shape)
    return float(pairs[left, right] / (pairs[left, right] + pairs[right, left]))


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
