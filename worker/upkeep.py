"""The upkeep of all jobs: reconciler, expiry and sweep, in the parent of every worker, one of which acts at a time.

The parent rather than a child, which is busy with its job; a worker rather than the web process, because
without a worker there is nobody to hand a job to. It is a thread of the parent; a child that is forked
while it runs has no use for anything of it.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Final

import redis

from app.broker import connect
from app.errors import DuettoError
from app.jobs.scripts import ALLOW_OOM
from app.jobs.store import JobStore
from app.queue import JobQueue
from app.settings import Settings
from app.storage import open_upkeep
from worker.expiry import expire_jobs, sweep
from worker.reconciler import Reconciler

logger = logging.getLogger(__name__)

# With the 8 s after which an attempt counts as silent and three looks, a job is on its way again 11 s after its worker
# was killed.
LOOK_EVERY_S: Final = 1.0
# Whoever acts says so at every second look, and after two misses another takes over: a job is on its way again after
# 18 s at the latest, should whoever acts be killed in the last of the 11. Two that act at once do no harm: every step
# of theirs is one script.
LEADER_FOR_S: Final = 4.0
EXPIRE_EVERY_S: Final = 60.0
SWEEP_EVERY_S: Final = 3600.0
STOP_WAIT_S: Final = 2.0

_LEADER_KEY: Final = "duetto:upkeep"
# ARGV: our token, milliseconds. Takes the lead if it is free, and keeps it if it is ours; half of its time before that
# nothing is written, for each write is one to the disk. With memory full as well: expiry makes room.
_LEAD: Final = (
    ALLOW_OOM
    + """
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
if leader and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) / 2 then return 1 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
)
# ARGV: our token.
_RESIGN: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class Upkeep:
    """The thread. `start` it when the worker takes jobs, `stop` it when it no longer does."""

    def __init__(self, settings: Settings) -> None:
        self._client = connect(settings)
        self._store = JobStore(self._client)
        self._storage = open_upkeep(settings)
        self._queue = JobQueue(settings)
        self._reconciler = Reconciler(self._client, self._queue, self._storage)
        self._lead = self._client.register_script(_LEAD)
        self._resign = self._client.register_script(_RESIGN)
        self._token = uuid.uuid4().hex
        self._ttl_s = settings.job_ttl_s
        self._expire_every_s = min(EXPIRE_EVERY_S, self._ttl_s)
        self._next_expiry = self._next_sweep = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin, with a look at once."""
        self._thread.start()

    def stop(self) -> None:
        """End, and let another worker's upkeep take over."""
        self._done.set()
        # Not for long: a broker that is away must not hold up the worker's stop.
        self._thread.join(STOP_WAIT_S)

    def _run(self) -> None:
        while True:
            try:
                if self._lead(keys=[_LEADER_KEY], args=[self._token, round(1000 * LEADER_FOR_S)]):
                    self._act()
            except (redis.exceptions.RedisError, DuettoError) as error:
                logger.warning("the upkeep of jobs is interrupted (%s); trying again", type(error).__name__)
            # A fault in it must show, but not end it: it is what mends everything else.
            except Exception:
                logger.exception("the upkeep of jobs failed; trying again")
            if self._done.wait(LOOK_EVERY_S):
                break
        try:
            self._resign(keys=[_LEADER_KEY], args=[self._token])
        except redis.exceptions.RedisError as error:
            logger.info("another worker takes over within %.0f s (%s)", LEADER_FOR_S, type(error).__name__)
        self._queue.close()
        self._client.close()

    def _act(self) -> None:
        self._reconciler.look()
        now = time.monotonic()
        if now >= self._next_expiry:
            has_more = expire_jobs(self._store, self._storage, self._ttl_s)
            self._next_expiry = now if has_more else now + self._expire_every_s
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_EVERY_S
            sweep(self._store, self._storage)
