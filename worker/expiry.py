"""What time takes away: the files of jobs that ended long ago, their records, and files that nobody owns.

======================================  ===============================================================
what                                    goes
======================================  ===============================================================
upload and stems of a job               so many seconds (the TTL) after its end; the job is then `expired`
the record of an expired job            as long after that
a folder without a record               when nothing in it was written for `ORPHAN_AFTER_S`
the rest of a deletion cut short        when older than `ORPHAN_AFTER_S`
what a killed attempt had half written  once its job has ended
======================================  ===============================================================
"""

from __future__ import annotations

import itertools
import logging
import time
from typing import Final

from app.errors import IllegalTransition, JobNotFound
from app.jobs.states import ARROWS, JobState
from app.jobs.store import JobStore
from app.storage.protocol import StorageUpkeep

logger = logging.getLogger(__name__)

# Longer than an upload may pause: its folder is there before its record.
ORPHAN_AFTER_S: Final = 3600.0
# In one call; the rest is for the next one, so that a call stays short.
MOST_EXPIRED: Final = 100
_STATES_AT_ONCE: Final = 500
_ENDED: Final = tuple(state for state, targets in ARROWS.items() if JobState.EXPIRED in targets)


def expire_jobs(store: JobStore, storage: StorageUpkeep, ttl_s: float, now: float | None = None) -> bool:
    """Expire jobs that ended `ttl_s` seconds ago, and remove those that expired as long ago.

    Parameters
    ----------
    store, storage : where jobs and their files are
    ttl_s : seconds that a job keeps its files, and then its record
    now : seconds since the epoch

    Returns
    -------
    Whether there may be more to do: no more than `MOST_EXPIRED` jobs are dealt with at once.

    Raises
    ------
    redis.exceptions.RedisError, StorageUnavailable
        If either cannot be reached; what was not done will be done by the next call.
    """
    now = time.time() if now is None else now
    oldest_kept = now - ttl_s
    left = MOST_EXPIRED
    # An index is in the order of creation, and no job ended before it was made: those created later are kept.
    for state in (*_ENDED, JobState.EXPIRED):
        for job_id in store.created_before(oldest_kept, state):
            try:
                job = store.get(job_id)
                ended_at = job.expired_at if state is JobState.EXPIRED else job.finished_at
                if (job.created_at if ended_at is None else ended_at) > oldest_kept:
                    continue
                if state is JobState.EXPIRED:
                    # Its files are gone, unless the process that expired it was killed at that moment.
                    storage.delete(job_id)
                    store.delete(job_id)
                else:
                    # The state first: who asks meanwhile is told 410, not that files are missing.
                    store.expire(job_id)
                    storage.delete(job_id)
            except (JobNotFound, IllegalTransition) as outcome:
                logger.info("job %s is not expired: %s", job_id, outcome)
            left -= 1
            if left == 0:
                return True
    return False


def sweep(store: JobStore, storage: StorageUpkeep, orphan_after_s: float = ORPHAN_AFTER_S) -> None:
    """Remove files that no job owns; for when a worker starts, and now and then.

    Raises
    ------
    redis.exceptions.RedisError, StorageUnavailable
        If either cannot be reached.
    """
    storage.clear_trash(orphan_after_s)
    stored = storage.jobs()
    while some := list(itertools.islice(stored, _STATES_AT_ONCE)):
        ids = [job.id for job in some]
        for job_id, job, state in zip(ids, some, store.states(ids), strict=True):
            if state is None:
                if storage.last_written(job_id) < time.time() - orphan_after_s:
                    logger.warning("job %s has files but no record; they are removed", job_id)
                    storage.delete(job_id)
            elif state is JobState.EXPIRED:
                storage.delete(job_id)
            elif state.is_final and job.has_scratch:
                storage.clear_scratch(job_id)
