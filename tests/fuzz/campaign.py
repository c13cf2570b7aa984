"""Runs many cases against one service and looks at what they have done to it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis

from app.settings import MIB, Settings
from tests.fuzz import judge
from tests.fuzz.case import Case
from tests.fuzz.plan import make_case
from tests.fuzz.service import Service
from tests.fuzz.wire import exchange

SENDERS = 6
SAMPLE_EVERY_S = 0.5
JOB_PATIENCE_S = 240.0
POLL_S = 20
# Measured over 1,200 cases with two children of a worker: 82 MiB and 1,489 MiB, children that decode included.
API_LIMIT_MIB = 256.0
WORKER_LIMIT_MIB = 2048.0


def fuzz_settings(folder: Path, **more: Any) -> Settings:
    """Return settings with limits that a small file can reach."""
    values: dict[str, Any] = {
        "data_dir": folder / "data",
        "cache_dir": folder / "cache",
        "host": "127.0.0.1",
        "port": 0,
        "redis_url": None,
        "workers": 2,
        "tagger": "efficientnet-lite2",
        "offline": True,
        "max_upload_bytes": 8 * MIB,
        "max_duration_s": 20.0,
        "max_pixels": 4_000_000,
        "max_images": 50,
        "log_level": "warning",
    }
    return Settings(**(values | more))


@dataclass(frozen=True)
class Verdict:
    """One case, done."""

    number: int
    name: str
    outcome: str
    seconds: float
    faults: tuple[str, ...]


@dataclass
class Report:
    """A whole run."""

    seed: int
    verdicts: list[Verdict] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    peaks_mib: tuple[float, float] = (0.0, 0.0)
    seconds: float = 0.0

    @property
    def outcomes(self) -> Counter[str]:
        """How often each outcome came."""
        return Counter(verdict.outcome for verdict in self.verdicts)

    @property
    def all_faults(self) -> list[str]:
        """What is wrong, of the cases and of the service."""
        of_cases = [
            f"case {verdict.number} ({verdict.name}): {fault}"
            for verdict in sorted(self.verdicts, key=lambda verdict: verdict.number)
            for fault in verdict.faults
        ]
        return of_cases + self.faults


class MemoryWatch:
    """Samples the memory of web process and worker until it is left. A context manager."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peaks_mib = (0.0, 0.0)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(SAMPLE_EVERY_S):
            api, worker = self._service.memory_mib()
            self.peaks_mib = (max(self.peaks_mib[0], api), max(self.peaks_mib[1], worker))


def run_campaign(
    service: Service, seed: int, numbers: Iterable[int], *, told: Callable[[Verdict], None] = lambda _: None
) -> Report:
    """Send the cases of these numbers, `SENDERS` at a time, follow each job to its end, delete it, and judge it all."""
    report = Report(seed)
    children = service.worker_children()
    began = time.monotonic()
    with (
        MemoryWatch(service) as memory,
        httpx.Client(base_url=service.url, timeout=POLL_S + 40.0, trust_env=False) as client,
        ThreadPoolExecutor(SENDERS) as pool,
    ):
        for verdict in pool.map(lambda number: run_case(service, client, make_case(seed, number)), numbers):
            report.verdicts.append(verdict)
            told(verdict)
    report.seconds = time.monotonic() - began
    report.peaks_mib = memory.peaks_mib
    report.faults += _faults_of_service(service, children, memory.peaks_mib)
    return report


def run_case(service: Service, client: httpx.Client, case: Case) -> Verdict:
    """Send one case and judge what came of it."""
    began = time.monotonic()
    job: dict[str, Any] | None = None
    try:
        answer = exchange(service.url, case)
        faults = judge.faults_of_answer(case, answer)
        if answer.status == 202:
            job = _followed(client, answer.document["id"])
            faults += judge.faults_of_job(job, str(service.data_dir))
            faults += _faults_of_files(client, job)
        outcome = judge.outcome_of(answer, job)
        faults += judge.faults_of_outcome(case, outcome)
    except (TimeoutError, httpx.HTTPError) as error:
        outcome, faults = "no answer", [f"no answer: {type(error).__name__}"]
    return Verdict(case.number, case.name, outcome, time.monotonic() - began, tuple(faults))


def _followed(client: httpx.Client, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + JOB_PATIENCE_S
    while True:
        job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}", params={"wait": POLL_S}).raise_for_status().json()
        if job["state"] not in ("queued", "running") or time.monotonic() > deadline:
            return job


def _faults_of_files(client: httpx.Client, job: dict[str, Any]) -> list[str]:
    """Return what is wrong with the job's files, and with its deletion."""
    faults = []
    if job["state"] == "succeeded":
        for name in ("left", "right", "result"):
            found = client.head(job["links"][name])
            if found.status_code != 200:
                faults.append(f"{name} of a job that succeeded: {found.status_code}")
    deleted = client.delete(job["links"]["self"])
    if deleted.status_code != 204:
        faults.append(f"deletion was answered {deleted.status_code}")
    return faults


def _faults_of_service(service: Service, children: set[int], peaks_mib: tuple[float, float]) -> list[str]:
    faults = []
    place = service.place()
    if place["restarts"] or place["worker_pid"] != service.worker_pid:
        faults.append("the worker's main process died")
    if service.worker_children() != children:
        faults.append(f"a worker's child died: {sorted(children)} were there, now {sorted(service.worker_children())}")
    for name, peak, limit in zip(("API", "worker"), peaks_mib, (API_LIMIT_MIB, WORKER_LIMIT_MIB), strict=True):
        if peak > limit:
            faults.append(f"the {name} took {peak:.0f} MiB; the limit is {limit:.0f}")
    return faults + _left_behind(service)


def _left_behind(service: Service) -> list[str]:
    """Return what is there of jobs that have all been deleted."""
    deadline = time.monotonic() + 10.0
    while True:
        files = [
            str(path.relative_to(service.data_dir))
            for folder in ("jobs", "trash")
            for path in (service.data_dir / folder).glob("*")
        ]
        with contextlib.closing(redis.Redis.from_url(service.redis_url, decode_responses=True)) as client:
            keys = [str(key) for key in client.keys("duetto:job*")]
        # A deletion's last file goes after its answer.
        if not (files or keys) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return [f"left behind: {name}" for name in (*files[:10], *keys[:10])]
