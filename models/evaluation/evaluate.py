"""All duets of a test set, in as many processes as wanted, the same result with any number of them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from models.children import begin_child, interrupts_held
from models.errors import ModelsError
from models.evaluation.duets import DuetResult
from models.evaluation.errors import EvaluationError
from models.evaluation.layout import Duet

# Read by OpenMP, MKL and OpenBLAS when they are loaded, which is before any code of ours runs.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Work = Callable[[Duet], DuetResult]

_work: list[Work] = []
"""The work of this process, sent once and not with each duet: it holds bases and weights."""


def evaluate(
    duets: Sequence[Duet], work: Work, *, jobs: int = 1, progress: Callable[[int, int], None] | None = None
) -> tuple[DuetResult, ...]:
    """Do the work on every duet.

    Linear algebra runs on one thread in every process: sums in another order would change the last bits,
    and threads of several processes would wait for each other.

    Parameters
    ----------
    duets : sequence of Duet
    work : callable
        :class:`~models.evaluation.duets.Separation` or :class:`~models.evaluation.duets.Scoring`.
    jobs : int
        Processes. Even one is a process of its own.
    progress : callable, optional
        Called with (duets done, duets in all).

    Returns
    -------
    tuple of DuetResult
        In the order of `duets`.

    Raises
    ------
    EvaluationError
        If the work failed on a duet, or a process died. What is finished stays in the ledger.
    """
    done: dict[int, DuetResult] = {}
    # Spawned, not forked: a forked child would inherit torch's threads in an unknown state.
    context = multiprocessing.get_context("spawn")
    with (
        _one_thread_in_children(),
        ProcessPoolExecutor(
            min(jobs, max(1, len(duets))), mp_context=context, initializer=_begin, initargs=(work,)
        ) as pool,
    ):
        try:
            with interrupts_held():
                futures = {pool.submit(_run, duet): index for index, duet in enumerate(duets)}
            for future in as_completed(futures):
                done[futures[future]] = future.result()
                if progress is not None:
                    progress(len(done), len(duets))
        except BrokenProcessPool:
            raise EvaluationError(
                "a process of the evaluation died, most likely for want of memory; what is finished is kept. "
                "Run the same command again, with fewer --jobs"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return tuple(done[index] for index in range(len(duets)))


def _begin(work: Work) -> None:
    begin_child()
    _work[:] = [work]


def _run(duet: Duet) -> DuetResult:
    try:
        return _work[0](duet)
    except EvaluationError:
        raise
    except ModelsError as error:
        # A separator or tagger knows nothing of duets.
        raise EvaluationError(f"{duet.name}: {error}") from error


@contextmanager
def _one_thread_in_children() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
