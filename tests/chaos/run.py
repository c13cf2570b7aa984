"""One run: start, take the reference, kill under load, let it come to rest, check."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.checks import (
    check_each_worker,
    check_folders,
    check_jobs,
    check_messages,
    check_nothing_stays,
    take_reference,
)
from tests.chaos.clips import make_clips
from tests.chaos.killing import Kind, Round, kill_again_and_again, recovery_times
from tests.chaos.service import Service
from tests.chaos.traffic import Traffic

# Enough that both workers are always busy, though some clients wait for a job that was lost.
CLIENTS: Final = 20
# A lost worker is noticed after some 11 s; a job can lose three.
_DRAIN_S: Final = 240.0


@dataclass(frozen=True)
class Outcome:
    """What a run showed. Lists of seconds are sorted.

    Attributes
    ----------
    faults : what must not have happened; empty: all is well
    ends : how many jobs ended how
    answers : how often which HTTP status came; 0: the connection broke
    back_s : from a kill until the processes were there again, by what was killed
    recovery_s : from the death of a job's process until its next attempt began, or it had ended
    job_s : from the 202 to the end of a job
    cut_off : uploads that died with the API
    """

    seed: int
    rounds: list[Round]
    faults: list[str]
    ends: Counter[str]
    answers: Counter[int]
    back_s: dict[str, list[float]]
    recovery_s: list[float]
    job_s: list[float]
    cut_off: int
    took_s: float


def run_chaos(folder: Path, rounds: int, seed: int, tell: Callable[[str], None] = lambda _line: None) -> Outcome:
    """Run in `folder`, which must be empty; data and logs stay there.

    Raises
    ------
    NotBack, NoAnswer, ExceptionGroup
        If the service does not recover enough to go on; logs are in `folder`.
    """
    (folder / "clips").mkdir()
    with Service(folder) as service:
        return asyncio.run(_run(service, folder / "clips", rounds, seed, tell))


async def _run(service: Service, clips_dir: Path, rounds: int, seed: int, tell: Callable[[str], None]) -> Outcome:
    began = time.monotonic()
    clips = make_clips(clips_dir, seed)
    async with Traffic(service.url, clips, seed) as traffic:
        for clip in clips:
            await traffic.run(clip)
        reference = await take_reference(traffic, [clip.name for clip in clips])
        tell(f"{len(clips)} clips done undisturbed; killing begins")
        done = asyncio.Event()
        clients = asyncio.create_task(traffic.keep_going(CLIENTS, done))
        try:
            killed = await kill_again_and_again(service, rounds, seed, tell)
        finally:
            done.set()
        tell(f"{len(traffic.jobs)} jobs accepted; waiting for the last to end")
        # Those that do not end are faults, found below.
        with suppress(TimeoutError):
            await asyncio.wait_for(clients, _DRAIN_S)
        await check_each_worker(service, traffic)
        await check_messages(service, traffic)
        tell("checking every job")
        ends = await check_jobs(traffic, reference)
        cut_off = await check_folders(service, traffic)
        tell("deleting every job")
        await check_nothing_stays(service, traffic)
        return Outcome(
            seed=seed,
            rounds=killed,
            faults=traffic.faults,
            ends=ends,
            answers=traffic.answers,
            back_s=_back_by_kind(killed),
            recovery_s=sorted(recovery_times(killed, traffic.jobs)),
            job_s=sorted(job.ended_at - job.at for job in traffic.jobs if job.ended_at is not None),
            cut_off=cut_off,
            took_s=time.monotonic() - began,
        )


def _back_by_kind(rounds: Sequence[Round]) -> dict[str, list[float]]:
    names = [*Kind, "two at once"]
    found: dict[str, list[float]] = {name: [] for name in names}
    for one in rounds:
        found[one.kinds[0] if len(one.kinds) == 1 else "two at once"].append(one.back_s)
    return {name: sorted(times) for name, times in found.items() if times}
