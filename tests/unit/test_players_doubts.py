"""Clips that are no duet of two different instruments of the eight: what is refused or warned of, in which words."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from models.errors import PlayersUnclear
from models.hearing import Heard, load_listener
from models.instruments import INSTRUMENTS, NAMES, index_of
from models.players import label_players
from models.players.classes import OTHERS
from models.players.doubts import Evidence, refusal, warnings
from models.players.fusion import ordered_pairs
from models.players.trios import Trio, best_trio
from models.taggers import SceneTagger, load_tagger
from tests.hard_frames import Frame, beside, closeup, fitted, halves, lyrics
from tests.unit.test_example import EXAMPLES

EMPTY = np.full((360, 320, 3), (90, 110, 120), np.uint8)
WHAT_TO_DO = "name the instruments with `left` and `right`"


@pytest.fixture(scope="module")
def tagger() -> SceneTagger:
    return load_tagger("efficientnet-lite2", offline=True)


@lru_cache
def listened(*stems: str) -> Heard:
    """What is heard of the example's stems together."""
    sounds = [soundfile.read(EXAMPLES / f"duet_{side}.wav", dtype="float32") for side in stems]
    found = load_listener().listen([np.sum([sound for sound, _ in sounds], axis=0)[None]], sounds[0][1], 1)
    assert found is not None
    return found


def refused(frames: list[Frame], heard: Heard | None, tagger: SceneTagger) -> str:
    with pytest.raises(PlayersUnclear) as caught:
        label_players(frames, heard, tagger)
    assert WHAT_TO_DO in str(caught.value)
    # The best guess is there for whoever wants it all the same, with the reason.
    guess = label_players(frames, heard, tagger, refuses=False)
    assert guess.warnings[0].lower() == f"{caught.value}.".lower()
    return str(caught.value)


def test_both_the_same_instrument(tagger: SceneTagger) -> None:
    frames = [beside(trumpet, np.ascontiguousarray(trumpet[:, ::-1]), 0.5) for trumpet, _ in halves()[:2]]
    message = refused(frames, listened("left"), tagger)
    assert message.startswith("only one instrument is found, trumpet")
    assert "left=trumpet, right=trumpet" in message
    assert refused(frames, None, tagger) == message
    # Another instrument is heard: then the picture must be surer.
    frames = [beside(guitar, np.ascontiguousarray(guitar[:, ::-1]), 0.5) for _, guitar in halves()[:2]]
    contradicted = Heard(np.array([-3.0, 1.0, -3.0, -3.0, -3.0, -3.0, -3.0, 3.0]))
    found = label_players(frames, contradicted, tagger)
    assert {found.labels.left.instrument, found.labels.right.instrument} == {"acoustic_guitar", "violin"}
    assert any(note.startswith("The picture may show acoustic guitar on both sides") for note in found.warnings)


def test_one_player_beside_nothing(tagger: SceneTagger) -> None:
    frames = [beside(trumpet, EMPTY, 0.5) for trumpet, _ in halves()[:2]]
    assert "only one player is found: trumpet, on the left" in refused(frames, listened("left"), tagger)
    # A second one is heard: it may be hidden.
    found = label_players(frames, listened("left", "right"), tagger)
    assert (found.labels.left.instrument, found.labels.right.instrument) == ("trumpet", "acoustic_guitar")
    assert any(note.startswith("No instrument is to be seen on the right") for note in found.warnings)


def test_one_player_over_the_whole_frame(tagger: SceneTagger) -> None:
    frames = [closeup(trumpet) for trumpet, _ in halves()[:2]]
    assert "it is one player, or two with the same instrument" in refused(frames, listened("left"), tagger)


def test_nothing_to_be_seen(tagger: SceneTagger) -> None:
    message = refused([lyrics(line) for line in range(4)], listened("left", "right"), tagger)
    assert message.startswith("no instrument is to be seen in the picture")
    assert "acoustic guitar and trumpet" in message
    still = [fitted(EMPTY, 640, 360)] * 4
    assert "no instrument is to be seen" in refused(still, None, tagger)


def test_a_name_is_enough_where_nothing_is_seen(tagger: SceneTagger) -> None:
    found = label_players([lyrics(0)], listened("left", "right"), tagger, left="trumpet")
    assert (found.labels.left.instrument, found.labels.right.instrument) == ("trumpet", "acoustic_guitar")


def test_close_ups_of_two_players_in_turn_are_no_single_instrument(tagger: SceneTagger) -> None:
    frames = [closeup(player) for pair in halves()[:2] for player in pair]
    found = label_players(frames, listened("left", "right"), tagger)
    assert {found.labels.left.instrument, found.labels.right.instrument} == {"trumpet", "acoustic_guitar"}
    # Who is where they do not show.
    assert not found.sure
    # Nor is it one where a single shot shows both.
    wide = beside(*halves()[0], 0.5)
    found = label_players([wide, *frames[::2], *frames[::2]], listened("left", "right"), tagger)
    assert (found.labels.left.instrument, found.labels.right.instrument) == ("trumpet", "acoustic_guitar")


def test_three_players(tagger: SceneTagger) -> None:
    frames = [
        np.concatenate([fitted(one, 213, 360) for one in (trumpet, guitar, trumpet)], axis=1)
        for trumpet, guitar in halves()[:2]
    ]
    found = label_players(frames, listened("left", "right"), tagger)
    assert {found.labels.left.instrument, found.labels.right.instrument} == {"trumpet", "acoustic_guitar"}
    assert any("Three players seem to be in the picture: trumpet, acoustic guitar, trumpet" in note
               for note in found.warnings)  # fmt: skip


def evidence() -> Evidence:
    """Of a clear duet: violin left, cello right."""
    sides = np.full((2, 8), 0.001)
    sides[0, 7] = sides[1, 2] = 0.9
    return Evidence(
        sides=sides,
        others=np.zeros((2, len(OTHERS))),
        trio=Trio((7, 2, 7), 0.02),
        alike=(2, -1.5),
        heard=None,
        pairs=ordered_pairs(np.log(sides), None),
    )


def other(name: str) -> NDArray[np.float64]:
    found = np.zeros((2, len(OTHERS)))
    found[1, list(OTHERS.values()).index(name)] = 0.8
    return found


def test_a_clear_duet_is_neither_refused_nor_warned_of() -> None:
    assert refusal(evidence()) is None
    assert warnings(evidence(), ("violin", "cello")) == ()


@pytest.mark.parametrize(("name", "spoken"), [("grand piano", "a grand piano"), ("organ", "an organ")])
def test_an_instrument_outside_the_eight(name: str, spoken: str) -> None:
    seen = evidence().sides.copy()
    seen[1] = 0.005
    found = warnings(replace(evidence(), sides=seen, others=other(name)), ("violin", "acoustic_guitar"))
    assert len(found) == 1
    assert f"The right side looks like {spoken}, which is none of the eight instruments" in found[0]
    assert "separated as acoustic guitar" in found[0]
    assert WHAT_TO_DO in found[0]


def test_what_is_not_surely_outside_the_eight_is_not_said() -> None:
    unsure = evidence().sides.copy()
    unsure[1] = 0.05
    assert warnings(replace(evidence(), sides=unsure, others=other("oboe")), ("violin", "flute")) == ()


def heard(**log_odds: float) -> Heard:
    """What would have been heard; an instrument that is not named, hardly."""
    return Heard(np.array([log_odds.get(name, -3.0) for name in NAMES]))


@pytest.mark.parametrize(
    ("better", "sound", "what"),
    [
        (1.1, None, "refused"),
        (0.9, None, "warned"),
        (0.1, None, "neither"),
        # Nothing but the cello is heard: less is needed. A flute is heard more surely: more.
        (0.6, heard(cello=2.0), "refused"),
        (0.6, heard(cello=2.0, flute=0.0), "warned"),
        (1.9, heard(cello=1.0, flute=2.0), "warned"),
        (2.1, heard(cello=1.0, flute=2.0), "refused"),
    ],
)
def test_how_sure_it_must_be_that_there_is_one_instrument(better: float, sound: Heard | None, what: str) -> None:
    given = replace(evidence(), alike=(2, better), heard=sound)
    assert (refusal(given) is not None) == (what == "refused")
    noted = warnings(given, ("violin", "cello"))
    assert bool(noted) == (what != "neither")
    if noted:
        assert noted[0].startswith("The picture may show cello on both sides, or one player only.")
        assert WHAT_TO_DO in noted[0]


def columns_of(*names: str) -> NDArray[np.float32]:
    """Class scores of ten columns an instrument, each clear."""
    scores = np.zeros((10 * len(names), 1000), np.float32)
    for number, name in enumerate(names):
        scores[10 * number : 10 * number + 10, INSTRUMENTS[index_of(name)].imagenet_id] = 12.0
    return scores


def test_a_trio_is_three_neighbours_who_differ() -> None:
    trio = best_trio([columns_of("violin", "flute", "violin")] * 2)
    assert [NAMES[place] for place in trio.places] == ["violin", "flute", "violin"]
    assert trio.probability > 0.9
    for two in (("violin", "flute"), ("trumpet", "trumpet")):
        assert best_trio([columns_of(*two)]).probability < 0.1
    # The networks take violins for cellos from one column to the next.
    assert best_trio([columns_of("violin", "cello", "violin")]).probability < 0.1
    assert best_trio([np.zeros((2, 1000), np.float32)]).probability < 0.1


def test_an_electric_guitar_is_a_guitar() -> None:
    assert "electric guitar" not in OTHERS.values()
