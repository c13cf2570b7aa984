"""Clients that never give up: they post, follow and download, and send again when no answer comes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.chaos.clips import Clip

FINAL: Final = frozenset({"succeeded", "failed", "canceled"})
FILES: Final = ("left", "right", "result")
RETRY_S: Final = 0.2
# Above the 15 s between two comments of an event stream.
TIMEOUT_S: Final = 40.0
# Between two jobs of one client.
_PAUSE_S: Final = (0.0, 0.6)
_SENT_TWICE: Final = 0.1  # of all uploads, though an answer came
_GIVE_UP_S: Final = 180.0  # with one request that is never answered
_BUSY: Final = frozenset({502, 503, 504})

Document = dict[str, Any]


class NoAnswer(Exception):  # noqa: N818 - named for what happened
    """A request was not answered, however often it was sent."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job's stream: when it came (`time.monotonic`), its id and the job."""

    at: float
    id: str
    job: Document

    @property
    def is_final(self) -> bool:
        """Whether it is the last."""
        return self.job["state"] in FINAL


@dataclass
class Accepted:
    """A job that a client has a 202 for, and the events it saw of it."""

    id: str
    clip: Clip
    key: str
    at: float
    events: list[Event] = field(default_factory=list)

    @property
    def last(self) -> Event | None:
        """The last event so far."""
        return self.events[-1] if self.events else None

    @property
    def has_ended(self) -> bool:
        """Whether the client was told that the job is final."""
        return self.last is not None and self.last.is_final

    @property
    def ended_at(self) -> float | None:
        """When the client was told."""
        return next((event.at for event in self.events if event.is_final), None)


class Traffic:
    """Posts clips and follows them. Belongs to one event loop; use as an async context manager.

    Attributes
    ----------
    jobs : list of Accepted
        Every job with a 202.
    faults : list of str
        Whatever must not happen and did.
    answers : Counter
        How often which status came; 0 stands for a connection that broke.
    """

    def __init__(self, url: str, clips: list[Clip], seed: int) -> None:
        self.jobs: list[Accepted] = []
        self.faults: list[str] = []
        self.answers: Counter[int] = Counter()
        self._clips = clips
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=TIMEOUT_S,
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        )

    async def __aenter__(self) -> Traffic:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def keep_going(self, clients: int, done: asyncio.Event) -> None:
        """Let so many clients post one job after the other until `done`, then see their last ones through."""
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client(done))

    async def _client(self, done: asyncio.Event) -> None:
        while not done.is_set():
            await self.run(self._random.choice(self._clips))
            await asyncio.sleep(self._random.uniform(*_PAUSE_S))

    async def run(self, clip: Clip) -> Accepted:
        """Post a clip and follow its job to the end."""
        job = await self.post(clip)
        await self.follow(job)
        return job

    async def post(self, clip: Clip) -> Accepted:
        """Post a clip until there is a 202. Sometimes once more: the answer must be the same job."""
        key = f"chaos-{self._random.getrandbits(128):032x}"
        answer = await self._post(clip, key)
        job = Accepted(answer.json()["id"], clip, key, time.monotonic())
        self.jobs.append(job)
        if self._random.random() < _SENT_TWICE:
            await self.post_again(job)
        return job

    async def post_again(self, job: Accepted) -> None:
        """Send an upload a second time under its key; another job is a fault."""
        again = (await self._post(job.clip, job.key)).json()["id"]
        if again != job.id:
            self.faults.append(f"job {job.id}: sent again with its idempotency key it became {again}")

    async def _post(self, clip: Clip, key: str) -> httpx.Response:
        files = [(field_name, (name, content)) for field_name, name, content in clip.files]
        answer = await self.request(
            "POST", "/v1/jobs", files=files, data=clip.options, headers={"Idempotency-Key": key}
        )
        if answer.status_code != 202:
            raise NoAnswer(f"an upload of {clip.name} was answered {answer.status_code}: {answer.text}")
        return answer

    async def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request until it is answered with anything but "not now".

        Raises
        ------
        NoAnswer
            If that takes longer than `_GIVE_UP_S`.
        """
        return await self._insist(f"{method} {path}", lambda: self._http.request(method, path, **more))

    async def _insist(self, what: str, send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        deadline = time.monotonic() + _GIVE_UP_S
        said = "nothing"
        while time.monotonic() < deadline:
            try:
                answer = await send()
            except httpx.TransportError as error:
                self.answers[0] += 1
                said = repr(error)
            else:
                self.answers[answer.status_code] += 1
                if answer.status_code not in _BUSY:
                    if answer.status_code >= 500:
                        self.faults.append(f"{what} was answered {answer.status_code}: {answer.text[:300]}")
                    return answer
                said = answer.text
            await asyncio.sleep(RETRY_S)
        raise NoAnswer(f"{what} was not answered in {_GIVE_UP_S:.0f} s; last: {said[:300]}")

    async def follow(self, job: Accepted) -> None:
        """Read the job's event stream until its end, beginning anew where it broke off."""
        while not job.has_ended:
            try:
                await self._read_events(job)
            except httpx.TransportError:
                self.answers[0] += 1
            await asyncio.sleep(RETRY_S)

    async def _read_events(self, job: Accepted) -> None:
        headers = {"Last-Event-ID": job.last.id} if job.last else {}
        async with self._http.stream("GET", f"/v1/jobs/{job.id}/events", headers=headers) as answer:
            self.answers[answer.status_code] += 1
            if answer.status_code in _BUSY:
                return
            if answer.status_code != 200:
                await answer.aread()
                raise NoAnswer(f"the events of job {job.id} were answered {answer.status_code}: {answer.text[:300]}")
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                word, _, value = line.partition(": ")
                if line:
                    fields[word] = value
                elif "data" in fields:
                    event = Event(time.monotonic(), fields.get("id", ""), json.loads(fields["data"]))
                    self._take(job, fields["event"], event)
                    fields = {}

    def _take(self, job: Accepted, name: str, event: Event) -> None:
        if name != "job":
            self.faults.append(f"job {job.id}: its stream told of {name}, which nobody did")
        elif fault := _fault_of(job.last, event):
            self.faults.append(f"job {job.id}: {fault}")
        job.events.append(event)

    async def digests(self, job: Accepted) -> dict[str, str]:
        """Download both stems and the result; return the SHA-256 of each, or the answer's status in its place."""
        assert job.last is not None
        found = {}
        for name in FILES:
            answer = await self.request("GET", job.last.job["links"][name])
            is_there = answer.status_code == 200
            found[name] = hashlib.sha256(answer.content).hexdigest() if is_there else f"status {answer.status_code}"
        return found


def _fault_of(before: Event | None, event: Event) -> str | None:
    """What is wrong with an event after the one before it; None if nothing is."""
    if before is None:
        return None
    # "7" or, while queued, "7-3": the version of the record, and the place in the queue.
    old, new = (int(one.id.partition("-")[0]) for one in (before, event))
    if before.is_final:
        return f"{event.job['state']} came after {before.job['state']}"
    if new < old:
        return f"version {new} ({event.job['state']}) came after version {old} ({before.job['state']})"
    if before.job["state"] == "running" and event.job["state"] == "queued":
        return "queued came after running"
    if event.job["attempts"] < before.job["attempts"]:
        return f"attempt {event.job['attempts']} came after attempt {before.job['attempts']}"
    return None
