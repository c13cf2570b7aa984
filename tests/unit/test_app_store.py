"""The job store on a real Valkey: the state machine, the listing, the queue's order."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.errors import IllegalTransition, InvalidCursor, JobNotFound
from app.jobs.lease import MAX_ATTEMPTS, Leases
from app.jobs.record import Job, JobError, JobInput, JobOptions
from app.jobs.states import ARROWS, JobState, Stage
from app.jobs.store import JobStore
from tests.conftest import leftovers

ERROR = JobError(code="silent", message="the recording is silent", stage=Stage.PROBE)


def new_job(created_at: float = 1_700_000_000.25, job_id: str | None = None) -> Job:
    return Job(
        id=job_id or uuid.uuid4().hex,
        state=JobState.QUEUED,
        created_at=created_at,
        options=JobOptions(left="violin"),
        input=JobInput(kind="frames", title="Duo – é.mp4", audio="audio.wav", frames=("frame-000001.jpg",)),
    )


@pytest.fixture
def job(store: JobStore) -> Job:
    job = new_job()
    store.create(job)
    return job


def test_a_record_comes_back_as_it_was_stored(store: JobStore, job: Job) -> None:
    assert store.get(job.id) == job


def test_a_run_from_queue_to_success(redis_client: redis.Redis) -> None:
    now = 100.0
    store = JobStore(redis_client, clock=lambda: now)
    job = new_job()
    store.create(job)
    started = store.start(job.id)
    assert (started.state, started.attempts, started.started_at, started.stage) == ("running", 1, 100.0, None)
    store.progress(job.id, Stage.TAG, 0.25)
    running = store.get(job.id)
    assert (running.stage, running.progress, running.version) == (Stage.TAG, 0.25, 3)
    now = 107.5
    done = store.succeed(job.id)
    assert (done.state, done.progress, done.stage, done.finished_at) == ("succeeded", 1.0, None, 107.5)
    assert done == store.get(job.id)
    assert done.version == 4


def test_a_failure_keeps_its_reason(store: JobStore, job: Job) -> None:
    store.start(job.id)
    assert store.fail(job.id, ERROR).error == ERROR


def test_a_second_attempt_begins_anew(store: JobStore, job: Job, redis_client: redis.Redis) -> None:
    store.start(job.id)
    store.progress(job.id, Stage.SEPARATE, 0.8)
    assert Leases(redis_client).release(job.id, 1)
    again = store.start(job.id)
    assert (again.state, again.attempts, again.progress, again.stage) == ("running", 2, 0.0, None)


@pytest.mark.parametrize(
    ("stage", "fraction"),
    [(Stage.SEPARATE, 0.5), (Stage.SEPARATE, 0.4), (Stage.TAG, 0.3), (Stage.PROBE, 0.5)],
)
def test_progress_never_moves_backwards(store: JobStore, job: Job, stage: Stage, fraction: float) -> None:
    store.start(job.id)
    store.progress(job.id, Stage.SEPARATE, 0.5)
    before = store.get(job.id)
    store.progress(job.id, stage, fraction)
    assert store.get(job.id) == before


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf")])
def test_progress_is_a_fraction(store: JobStore, job: Job, fraction: float) -> None:
    store.start(job.id)
    with pytest.raises(ValueError, match="0 to 1"):
        store.progress(job.id, Stage.TAG, fraction)


def test_progress_of_a_job_that_does_not_run(store: JobStore, job: Job) -> None:
    with pytest.raises(IllegalTransition, match="queued"):
        store.progress(job.id, Stage.TAG, 0.5)


def test_cancel_while_queued_is_at_once(store: JobStore, job: Job) -> None:
    canceled = store.request_cancel(job.id)
    assert (canceled.state, store.queued_count()) == (JobState.CANCELED, 0)
    assert canceled.finished_at is not None
    assert store.request_cancel(job.id) == canceled
    with pytest.raises(IllegalTransition, match="canceled"):
        store.start(job.id)


def test_cancel_while_running_asks_the_worker(store: JobStore, job: Job) -> None:
    store.start(job.id)
    assert not store.cancel_requested(job.id)
    asked = store.request_cancel(job.id)
    assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
    assert store.cancel_requested(job.id)
    assert store.request_cancel(job.id).version == asked.version
    assert store.cancel(job.id).state is JobState.CANCELED


def test_cancel_after_the_end_is_refused(store: JobStore, job: Job) -> None:
    store.start(job.id)
    store.succeed(job.id)
    with pytest.raises(IllegalTransition, match="succeeded"):
        store.request_cancel(job.id)


def test_a_deleted_job_is_gone_for_everyone(store: JobStore, job: Job, redis_client: redis.Redis) -> None:
    store.start(job.id)
    store.delete(job.id)
    assert leftovers(redis_client) == []
    assert store.cancel_requested(job.id), "its worker must stop"
    for call in (store.get, store.start, store.succeed, store.cancel, store.request_cancel, store.delete):
        with pytest.raises(JobNotFound):
            call(job.id)
    with pytest.raises(JobNotFound):
        store.progress(job.id, Stage.TAG, 0.5)
    with pytest.raises(JobNotFound):
        store.fail(job.id, ERROR)
    assert leftovers(redis_client) == [], "no late write brings it back"


def test_an_id_is_used_once(store: JobStore, job: Job) -> None:
    with pytest.raises(IllegalTransition, match="exists"):
        store.create(new_job(job_id=job.id))


@pytest.mark.parametrize("job_id", ["", "x" * 32, "../../../../../../../etc/passwd1", "A" * 32])
def test_ids_are_ours(store: JobStore, job_id: str) -> None:
    with pytest.raises(ValueError, match="32 hexadecimal"):
        store.create(new_job().model_copy(update={"id": job_id}))
    with pytest.raises(JobNotFound):
        store.get(job_id)


def test_a_new_job_is_queued(store: JobStore) -> None:
    with pytest.raises(ValueError, match="queued"):
        store.create(new_job().model_copy(update={"state": JobState.RUNNING}))


def test_pages_cover_every_job_once_newest_first(store: JobStore) -> None:
    # Several share their moment of creation, within and across pages.
    jobs = [new_job(created_at=1000.0 + index // 3) for index in range(11)]
    for job in jobs:
        store.create(job)
    seen: list[Job] = []
    cursor = None
    while True:
        page = store.list(limit=2, cursor=cursor)
        assert 1 <= len(page.jobs) <= 2
        seen += page.jobs
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == len(jobs)
    assert {job.id for job in seen} == {job.id for job in jobs}
    assert [job.created_at for job in seen] == sorted((job.created_at for job in jobs), reverse=True)


def test_a_page_survives_the_deletion_of_its_last_job(store: JobStore) -> None:
    jobs = [new_job(created_at=1000.0 + index) for index in range(4)]
    for job in jobs:
        store.create(job)
    page = store.list(limit=2)
    store.delete(page.jobs[-1].id)
    assert [job.id for job in store.list(limit=2, cursor=page.next_cursor).jobs] == [jobs[1].id, jobs[0].id]


def test_the_listing_filters_by_state(store: JobStore) -> None:
    jobs = [new_job(created_at=1000.0 + index) for index in range(3)]
    for job in jobs:
        store.create(job)
    store.start(jobs[1].id)
    assert [job.id for job in store.list(state=JobState.RUNNING).jobs] == [jobs[1].id]
    assert [job.id for job in store.list(state=JobState.QUEUED).jobs] == [jobs[2].id, jobs[0].id]
    assert store.list(state=JobState.FAILED).jobs == ()


@pytest.mark.parametrize("cursor", ["", "x", "ü", "AAAA", "bmFuIDAw", "MS4wIA"])
def test_a_foreign_cursor_is_refused(store: JobStore, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        store.list(cursor=cursor)


def test_queue_positions_follow_the_order_of_creation(store: JobStore) -> None:
    jobs = [new_job(created_at=1000.0 + index) for index in range(3)]
    for job in reversed(jobs):
        store.create(job)
    assert store.queue_positions([job.id for job in jobs]) == [0, 1, 2]
    store.start(jobs[0].id)
    assert store.queue_positions([job.id for job in jobs]) == [None, 0, 1]
    assert store.queued_count() == 2
    assert store.created_before(1001.5, JobState.QUEUED) == [jobs[1].id]


def test_of_two_workers_that_finish_one_wins(store: JobStore, job: Job) -> None:
    store.start(job.id)
    barrier = threading.Barrier(8)
    wins: list[JobState] = []

    def finish(index: int) -> None:
        barrier.wait()
        try:
            done = store.succeed(job.id) if index % 2 else store.fail(job.id, ERROR)
        except IllegalTransition:
            return
        wins.append(done.state)

    threads = [threading.Thread(target=finish, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wins == [store.get(job.id).state]


EVENTS = st.lists(
    st.sampled_from(
        ["start", "start", "beat", "release", "progress", "succeed", "fail", "request_cancel", "cancel", "expire"]
    ),
    max_size=16,
)
# Whose voice an event is: the present attempt's, the one before it, or nobody's in particular.
VOICES = st.lists(st.sampled_from(["present", "former", "anyone"]), min_size=16, max_size=16)


@given(events=EVENTS, voices=VOICES, fractions=st.lists(st.floats(0, 1), min_size=16, max_size=16))
@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_events_follows_the_arrows(
    store: JobStore, redis_client: redis.Redis, events: list[str], voices: list[str], fractions: list[float]
) -> None:
    job = new_job().model_copy(update={"webhook_url": "https://music.example/"})
    store.create(job)
    leases = Leases(redis_client)
    attempt: int | None = None

    def said(taken: bool) -> None:
        if not taken:
            raise IllegalTransition("not taken")

    calls: dict[str, Callable[[float], object]] = {
        "beat": lambda _: said(leases.beat(job.id, attempt or 0)),
        "release": lambda _: said(leases.release(job.id, attempt or 0)),
        "start": lambda _: store.start(job.id),
        "progress": lambda fraction: store.progress(job.id, Stage.SEPARATE, fraction, attempt=attempt),
        "succeed": lambda _: store.succeed(job.id, attempt=attempt),
        "fail": lambda _: store.fail(job.id, ERROR, attempt=attempt),
        "request_cancel": lambda _: store.request_cancel(job.id),
        "cancel": lambda _: store.cancel(job.id, attempt=attempt),
        "expire": lambda _: store.expire(job.id),
    }
    targets = {
        "succeed": JobState.SUCCEEDED,
        "fail": JobState.FAILED,
        "cancel": JobState.CANCELED,
        "expire": JobState.EXPIRED,
    }
    before = job
    held = False
    for event, voice, fraction in zip(events, voices, fractions, strict=False):
        attempt = {"present": before.attempts, "former": before.attempts - 1, "anyone": None}[voice]
        is_fenced = attempt not in {None, before.attempts}
        try:
            calls[event](fraction)
            refused = False
        except IllegalTransition:
            refused = True
        after = store.get(job.id)
        if refused:
            assert after == before, "a refused event writes nothing"
        elif after.state is not before.state:
            assert after.state in ARROWS[before.state]
            assert after.version == before.version + 1
        else:
            assert event in {"start", "beat", "release", "progress", "request_cancel"}
            assert event == "start" or after.progress >= before.progress
        if event in targets:
            assert refused == (targets[event] not in ARROWS[before.state] or (is_fenced and event != "expire"))
        elif event == "start":
            is_startable = before.state is JobState.QUEUED or (before.state is JobState.RUNNING and not held)
            assert refused == (not is_startable or before.attempts == MAX_ATTEMPTS)
            assert after.attempts == before.attempts + (not refused)
        elif event in {"beat", "release"}:
            assert refused == (attempt != before.attempts or not held), "only who has the job"
        elif event == "progress":
            assert refused == (is_fenced or before.state is not JobState.RUNNING)
        if event == "start" and not refused:
            held = True
        elif (event == "release" and not refused) or after.state is not JobState.RUNNING:
            held = False
        assert (redis_client.zscore("duetto:jobs:webhooks", job.id) is not None) == after.state.is_final
        assert redis_client.hexists(f"duetto:job:{job.id}", "heartbeat_at") == held
        assert redis_client.hexists(f"duetto:job:{job.id}", "worker") == held
        assert after.version >= before.version
        assert (after.finished_at is not None) == after.state.is_final
        assert [found.id for found in store.list(limit=100, state=after.state).jobs].count(job.id) == 1
        assert (store.queue_position(job.id) is not None) == (after.state is JobState.QUEUED)
        before = after
    store.delete(job.id)
