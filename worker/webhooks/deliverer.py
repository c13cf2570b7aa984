"""Sends the webhooks that are due: a thread in the parent of every worker, beside its upkeep (worker/upkeep.py).

All workers share the outbox (app/webhooks/outbox.py), and a claim makes a delivery one worker's at a time. Each
attempt is a thread of its own, so a receiver that takes its time holds up nobody else; one receiver has two of
them at most. The threads end with the process: what they had is taken up by another when its lease lapses.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import redis

from app.broker import connect
from app.errors import JobNotFound
from app.jobs.record import Delivery, Job
from app.jobs.store import JobStore
from app.logs.context import log_context
from app.metrics.families import WEBHOOK_ATTEMPTS
from app.metrics.tally import Tally
from app.settings import Settings
from app.webhooks.address import parse_networks
from app.webhooks.message import message_body, message_id
from app.webhooks.outbox import Claim, Outbox
from app.webhooks.signature import key_of, parse_secrets, signed_headers
from app.webhooks.target import host_of
from worker.webhooks.connection import Answer, Resolver, WebhookConnector, resolve_by_system
from worker.webhooks.schedule import after_attempt

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
MOST_AT_ONCE: Final = 16
MOST_AT_ONCE_PER_HOST: Final = 2
STOP_WAIT_S: Final = 2.0
_CLAIMED_AT_ONCE: Final = 32
# What cannot be sent yet, because its receiver or all threads are busy, is looked at again after this long.
_BUSY_PAUSE_S: Final = 2.0
_NO_SECRET_LOOK_EVERY_S: Final = 60.0
_USER_AGENT: Final = "Duetto"


class Deliverer:
    """The thread. `start` it when the worker takes jobs, `stop` it when it no longer does.

    Parameters
    ----------
    settings : all settings
    resolve : the resolver of names
    clock : seconds since the epoch
    draw : a number from 0 to 1, for the jitter

    Raises
    ------
    ConfigurationError
        If the settings for webhooks cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        resolve: Resolver = resolve_by_system,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._keys = parse_secrets(settings.webhook_secret)
        self._connector = WebhookConnector(parse_networks(settings.webhook_allow_private), resolve)
        self._client = connect(settings)
        self._store = JobStore(self._client, clock)
        self._outbox = Outbox(self._client, clock)
        self._clock = clock
        self._draw = draw
        self._busy: Counter[str] = Counter()
        self._busy_changed = threading.Condition()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin, with a look at once."""
        self._thread.start()

    def stop(self) -> None:
        """End. An attempt under way may still end well; if not, it is made again."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_WAIT_S)
        self.wait_idle(STOP_WAIT_S)
        self._client.close()

    def look(self) -> None:
        """Begin what is due, as much as there are threads for. Raises `redis.exceptions.RedisError`."""
        while self._has_room() and (claims := self._outbox.claim(_CLAIMED_AT_ONCE)):
            for claim in claims:
                host = host_of(claim.url)
                if not self._take(host):
                    self._outbox.give_back(claim, _BUSY_PAUSE_S)
                    continue
                name = f"webhook-{claim.job_id[:8]}"
                threading.Thread(target=self._deliver, args=(claim, host), name=name, daemon=True).start()

    def wait_idle(self, timeout_s: float | None = None) -> bool:
        """Wait until no attempt is under way, at most `timeout_s` seconds; return whether that is so."""
        with self._busy_changed:
            return self._busy_changed.wait_for(lambda: not self._busy.total(), timeout_s)

    def _run(self) -> None:
        has_warned = False
        pause_s = LOOK_EVERY_S if self._keys else _NO_SECRET_LOOK_EVERY_S
        while True:
            try:
                if self._keys:
                    self.look()
                elif not has_warned and self._outbox.count():
                    has_warned = True
                    logger.warning(
                        "webhooks wait to be sent, and this worker has no secret to sign them with: "
                        "set DUETTO_WEBHOOK_SECRET as it is set for the API"
                    )
            except redis.exceptions.RedisError as error:
                logger.warning("the sending of webhooks is interrupted (%s); trying again", type(error).__name__)
            # A fault in it must show, but not end it.
            except Exception:
                logger.exception("the sending of webhooks failed; trying again")
            if self._done.wait(pause_s):
                return

    def _has_room(self) -> bool:
        with self._busy_changed:
            return self._busy.total() < MOST_AT_ONCE

    def _take(self, host: str) -> bool:
        with self._busy_changed:
            if self._busy.total() >= MOST_AT_ONCE or self._busy[host] >= MOST_AT_ONCE_PER_HOST:
                return False
            self._busy[host] += 1
            return True

    def _deliver(self, claim: Claim, host: str) -> None:
        try:
            with log_context(job_id=claim.job_id):
                self._attempt(claim)
        except JobNotFound:
            logger.info("job %s was deleted; its webhook is not sent", claim.job_id)
        except redis.exceptions.RedisError as error:
            logger.warning("job %s: its webhook is sent again later (%s)", claim.job_id, type(error).__name__)
        except Exception:
            logger.exception("job %s: its webhook could not be sent; trying again", claim.job_id)
        finally:
            with self._busy_changed:
                self._busy[host] -= 1
                self._busy += Counter()  # drops the hosts that are no longer busy
                self._busy_changed.notify_all()

    def _attempt(self, claim: Claim) -> None:
        job = self._store.get(claim.job_id)
        try:
            answer = self._send(job, claim.url)
        # Counted as an attempt, or what nobody foresaw would be tried again for ever.
        except Exception:
            logger.exception("job %s: sending its webhook failed", job.id)
            answer = Answer(error="internal_error")
        delivery = after_attempt(job.delivery or Delivery(), answer, self._clock(), self._draw)
        if self._outbox.settle(claim, delivery):
            tally = Tally()
            tally.count(WEBHOOK_ATTEMPTS, delivery.state)
            tally.try_flush(self._client)
            _log(claim.job_id, delivery, answer)

    def _send(self, job: Job, url: str) -> Answer:
        body = message_body(job)
        keys = [key_of(key, job.owner) for key in self._keys]
        signature = signed_headers(keys, message_id(job.id), int(self._clock()), body)
        headers = {"Content-Type": "application/json", "User-Agent": _USER_AGENT, **signature}
        return self._connector.post(url, headers, body)


def _log(job_id: str, delivery: Delivery, answer: Answer) -> None:
    """Tell of an attempt; never with the URL, which may hold a token."""
    outcome = answer.error or f"HTTP {answer.status}"
    if delivery.state == "delivered":
        logger.info("job %s: its webhook was delivered at attempt %d (%s)", job_id, delivery.attempts, outcome)
    elif delivery.state == "pending":
        logger.info("job %s: attempt %d to send its webhook failed (%s)", job_id, delivery.attempts, outcome)
    else:
        logger.warning("job %s: its webhook is given up after %d attempts (%s)", job_id, delivery.attempts, outcome)
