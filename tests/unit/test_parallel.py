"""Pieces side by side: in order, on one thread each, and errors come out."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
import torch

from models import parallel


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.setattr(parallel, "_threads", None)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_results_come_in_order_from_pieces_of_one_thread(number: int) -> None:
    parallel.set_threads(number)
    together = threading.Barrier(number)

    def work(piece: int) -> tuple[int, int, int]:
        together.wait(timeout=30)  # passes only if so many pieces run at a time
        return piece, torch.get_num_threads(), parallel.threads()

    pieces = range(4 * number)
    assert parallel.each(work, pieces) == [(piece, 1, 1) for piece in pieces]
    assert parallel.threads() == number


def test_without_a_number_torch_says_how_many() -> None:
    torch.set_num_threads(2)
    seen = parallel.each(lambda _: threading.get_ident(), range(8))
    assert threading.get_ident() not in seen
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert parallel.each(lambda _: threading.get_ident(), range(2)) == [threading.get_ident()] * 2


def test_a_piece_of_a_piece_does_not_wait_for_a_thread() -> None:
    parallel.set_threads(2)
    assert parallel.each(lambda n: sum(parallel.each(lambda m: m, range(n))), range(5)) == [0, 0, 1, 3, 6]


def test_an_error_comes_out_once_all_have_ended() -> None:
    parallel.set_threads(2)
    ended = []

    def work(piece: int) -> None:
        if piece == 1:
            raise KeyError(piece)
        ended.append(piece)

    with pytest.raises(KeyError):
        parallel.each(work, range(4))
    assert sorted(ended) == [0, 2, 3]


def test_the_code_of_others_has_all_threads() -> None:
    parallel.set_threads(2)
    with parallel.all_threads():
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 1


def test_a_fork_has_threads_of_its_own() -> None:
    parallel.set_threads(2)
    parallel.each(str, range(4))
    child = os.fork()
    if child == 0:
        # No assertion: pytest is not to report from here.
        os._exit(0 if parallel.each(str, range(4)) == ["0", "1", "2", "3"] else 1)
    assert os.waitpid(child, 0)[1] == 0
