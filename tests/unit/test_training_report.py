"""The training report: what it counts, what it draws, and the two forms it is written in."""

import base64
import io
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.bases import BasesBank, select_bases
from models.errors import TrainingDataError
from models.instruments import NAMES
from models.stft import N_FREQ, SAMPLE_RATE
from models.training.networks import Epoch, measure
from models.training.page import Page, Paragraph, Picture, Table, to_html, to_markdown, write_page
from models.training.pictures import draw_bases, draw_confusion, draw_curve, draw_relation, pitches
from models.training.provenance import provenance
from models.training.report import confusion, training_report
from models.training.segments import Segments
from models.training.solos import Solo

CELLO, FLUTE = 2, 4
VERMILION = (213, 94, 0)


def _harmonic(midi: float, partials: int = 8) -> np.ndarray:
    """The spectrum of a tone, its partials three bins wide."""
    spectrum = np.full(N_FREQ, 1e-4, np.float32)
    for partial in range(1, partials + 1):
        place = round(partial * 440.0 * 2 ** ((midi - 69) / 12) * 2 * (N_FREQ - 1) / SAMPLE_RATE)
        if place < N_FREQ - 1:
            spectrum[place - 1 : place + 2] += np.array([0.4, 1.0, 0.4], np.float32) / partial
    return spectrum / np.linalg.norm(spectrum)


@cache
def _run(*, flute_wrong: bool = False) -> Page:
    """A report of twelve segments of two instruments, the last of each held out; one held-out flute is a cello."""
    labels = np.array([CELLO] * 6 + [FLUTE] * 6)
    solos = tuple(
        Solo(Path(f"{n}.wav"), NAMES[label], "philharmonia" if n % 2 else "my_<solos>|*")
        for n, label in enumerate([CELLO, CELLO, FLUTE, FLUTE])
    )
    recordings = np.repeat([0, 1, 2, 3], 3)
    held_out = np.isin(recordings, [1, 3])
    X = np.random.default_rng(0).uniform(0.0, 2.0, (12, 8, 25)).astype(np.float32)
    X[np.arange(12), labels, np.arange(12)] = 5.0 + np.arange(12)
    wrong = [9, 10, 11] if flute_wrong else [11]
    X[wrong, CELLO, 3] = 40.0
    W = np.stack([np.stack([_harmonic(48 + 2 * n + m) for m in range(25)], axis=1) for n in range(12)])
    segments = Segments(W, labels, recordings, solos, "ab" * 32)
    columns, scores = select_bases(W, X, labels, keep=4)
    record = provenance(
        command="duetto train --solos '<solos>'",
        parameters={"seed": 7, "epochs": 3},
        sources=[{"name": "solos", "licence": "CC0-1.0", "files": 4, "sha256": "0" * 64}],
        segments=segments,
        held_out=held_out,
        accuracy=measure(X, labels, held_out),
        bases={name: part.shape[1] for name, part in zip(NAMES, columns, strict=True)},
    )
    history = [Epoch(1, 1.9, 0.5), Epoch(2, 0.4, 0.75), Epoch(3, 0.02, 5 / 6)]
    return training_report(record, segments, held_out, X, BasesBank(columns, scores), history)


def _table(page: Page, caption: str) -> Table:
    return next(block for block in page.blocks if isinstance(block, Table) and block.caption.startswith(caption))


def _pictures(page: Page) -> dict[str, Picture]:
    return {block.name: block for block in page.blocks if isinstance(block, Picture)}


def test_confusion_counts_chosen_segments_alone() -> None:
    X = np.zeros((3, 8, 25), np.float32)
    X[0, 1, 4] = X[1, 5, 0] = X[2, 5, 24] = 1.0
    counts = confusion(X, np.array([1, 1, 5]), np.array([True, True, False]))
    assert counts[1, 1] == 1
    assert counts[1, 5] == 1
    assert counts.sum() == 2


def test_the_report_tells_balance_accuracy_and_scores() -> None:
    page = _run()
    assert _table(page, "Segments and").rows == (("cello", "3", "3", "2"), ("flute", "3", "3", "2"))
    assert _table(page, "Segments by origin").rows == (
        ("my_<solos>|*", "3 + 0", "3 + 0"),
        ("philharmonia", "0 + 3", "0 + 3"),
    )
    assert _table(page, "Accuracy").rows == (
        ("cello", "1.000", "1.000", "3 of 3", "3 of 3"),
        ("flute", "1.000", "0.667", "3 of 3", "2 of 3"),
        ("all", "1.000", "0.833", "6 of 6", "5 of 6"),
    )
    really_flute = _table(page, "The same").rows[1]
    assert really_flute == ("flute", "0", "0", "1", "0", "2", "0", "0", "0")
    kept = _table(page, "Bases kept").rows
    # The flute's last segment was taken for a cello and gives nothing: five are offered, the four best are kept.
    assert kept[FLUTE][:6] == ("flute", "5", "4", "15.00", "13.50", "12.00")
    assert kept[0] == ("accordion", "0", "0", "", "", "", "")
    assert "trumpet" in next(b.text for b in page.blocks if isinstance(b, Paragraph) and "Nothing was" in b.text)


def test_a_picture_each_of_what_there_is() -> None:
    pictures = _pictures(_run())
    assert list(pictures) == ["confusion", "curve", "map-cello", "map-flute", "bases-cello", "bases-flute"]
    assert "1 of flute taken for cello" in pictures["confusion"].alt
    # Of the held-out flutes 9 and 10 are right: the lower middle one is 9, whose tenth basis was raised to 14.
    assert "basis 10 has the highest value of its row, 14.0" in pictures["map-flute"].alt
    for picture in pictures.values():
        image = Image.open(io.BytesIO(picture.png))
        assert image.size == (picture.width, picture.height)
        assert len(picture.alt) > 40


def test_a_map_of_a_class_that_is_never_right_says_so() -> None:
    picture = _pictures(_run(flute_wrong=True))["map-flute"]
    assert "taken for cello: nothing is picked" in picture.caption


def test_the_picked_basis_is_framed() -> None:
    X = np.zeros((8, 25), np.float32)
    X[CELLO, 7] = 3.0
    picked = np.asarray(Image.open(io.BytesIO(draw_relation(X, CELLO, 7).png())).convert("RGB"))
    other = np.asarray(Image.open(io.BytesIO(draw_relation(X, CELLO, None).png())).convert("RGB"))
    marked = np.argwhere((picked == VERMILION).all(axis=2) & (picked != other).any(axis=2))
    below_the_triangle = marked[marked[:, 0] > 30]
    # 36 x 28 pixels a cell from (130, 46), the frame two pixels outside.
    assert below_the_triangle.min(axis=0).tolist() == [46 + CELLO * 28 - 2, 130 + 7 * 36 - 2]
    assert below_the_triangle.max(axis=0).tolist() == [46 + (CELLO + 1) * 28 + 1, 130 + 8 * 36 + 1]


def test_dark_means_many() -> None:
    counts = np.diag(np.full(8, 10))
    counts[0] = [5, 5, 0, 0, 0, 0, 0, 0]
    grey = np.asarray(Image.open(io.BytesIO(draw_confusion(counts).png())).convert("L"), np.float64)
    # A corner of the cell, away from its number: 96 x 44 pixels a cell from (130, 74).
    corner = {column: grey[74 + 6, 130 + 96 * column + 6] for column in (0, 2)}
    full = grey[74 + 44 + 6, 130 + 96 + 6]
    assert full < corner[0] < corner[2]


@pytest.mark.parametrize("midi", [40.0, 57.0, 69.0, 84.0, 96.0])
@pytest.mark.parametrize("partials", [3, 12])
def test_pitches_are_those_of_the_tones(midi: float, partials: int) -> None:
    found = pitches(_harmonic(midi, partials)[:, None])[0]
    # Bins are 10.8 Hz apart, two semitones at E2.
    assert found == pytest.approx(midi, abs=1.5 if midi < 50 else 0.5)


def test_bases_are_drawn_low_to_high_in_whatever_order_they_come() -> None:
    columns = np.stack([_harmonic(midi) for midi in (50, 60, 70, 80)], axis=1)
    assert draw_bases(columns).png() == draw_bases(columns[:, [2, 0, 3, 1]]).png()


@pytest.mark.parametrize("history", [[Epoch(1, 0.5, 0.4)], [Epoch(n, 0.0, 1.0) for n in range(4, 300)]])
def test_curves_of_one_epoch_and_of_perfect_ones_are_drawn(history: list[Epoch]) -> None:
    assert Image.open(io.BytesIO(draw_curve(history).png())).size == (900, 560)


class _Reader(HTMLParser):
    """Collects pictures and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.pictures.append(dict(attrs))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_one_file_with_everything_inside() -> None:
    page = _run()
    text = to_html(page)
    reader = _Reader()
    reader.feed(text)
    assert reader.open == []
    assert [picture["alt"] for picture in reader.pictures] == [picture.alt for picture in _pictures(page).values()]
    first = reader.pictures[0]["src"] or ""
    assert base64.b64decode(first.removeprefix("data:image/png;base64,")) == _pictures(page)["confusion"].png
    assert not re.search(r"https?://|src=\"(?!data:)|<script|<link", text)
    assert "my_&lt;solos&gt;|*" in text
    assert "my_<solos>" not in text


def test_markdown_escapes_what_would_be_markup() -> None:
    text = to_markdown(_run())
    assert r"| my\_\<solos\>\|\* | 3 + 0 | 3 + 0 |" in text
    assert "![Confusion matrix of the held-out segments: 5 of 6" in text
    assert "```sh\nduetto train --solos '<solos>'\n```" in text
    rows = [line for line in text.splitlines() if line.startswith("| cello |")]
    assert rows[0] == "| cello | 3 | 3 | 2 |"


def test_numbers_stand_to_the_right() -> None:
    table = Table("c", ("name", "count", "words"), (("1", "1,200", "3 + 4"), ("2", "-0.5", "")))
    assert "| --- | ---: | --- |" in to_markdown(Page("t", (table,)))


def test_both_forms_are_written_whole_and_the_same_each_time(tmp_path: Path) -> None:
    for folder, page in (("first", _run()), ("again", _run.__wrapped__())):
        write_page(tmp_path / folder / "report.html", page)
        write_page(tmp_path / folder / "report.md", page)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == sorted(["report.html", "report.md", *(f"{name}.png" for name in _pictures(_run()))])
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    links = re.findall(r"\]\((.+?)\)", (tmp_path / "first" / "report.md").read_text(encoding="utf-8"))
    assert sorted(links) == [name for name in names if name.endswith(".png")]


def test_an_unknown_form_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"something\.html .* or something\.md"):
        write_page(tmp_path / "new" / "report.pdf", _run())
    assert list(tmp_path.iterdir()) == []
