"""When a webhook is sent again: the schedule that Standard Webhooks recommends, ten attempts over three days."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from app.jobs.record import Delivery
from worker.webhooks.connection import Answer

# Seconds between an attempt and the next one.
PAUSES_S: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
# A receiver may ask for a longer pause than the schedule's, but not for any.
LONGEST_RETRY_AFTER_S: Final = 86_400.0
# So that what failed together does not come back together.
_JITTER: Final = 0.2

_IS_DELIVERED: Final = range(200, 300)


def after_attempt(before: Delivery, answer: Answer, now: float, draw: Callable[[], float] = random.random) -> Delivery:
    """Return how a delivery stands after an attempt.

    Parameters
    ----------
    before : how it stood
    answer : what came of the attempt
    now : seconds since the epoch
    draw : a number from 0 to 1, for the jitter
    """
    attempts = before.attempts + 1
    is_delivered = answer.status in _IS_DELIVERED
    is_over = answer.status == HTTPStatus.GONE or attempts > len(PAUSES_S)
    next_attempt_at = None
    if not is_delivered and not is_over:
        pause_s = PAUSES_S[attempts - 1] * (1.0 + _JITTER * draw())
        next_attempt_at = now + max(pause_s, retry_after_s(answer.retry_after, now))
    return Delivery(
        state="delivered" if is_delivered else "failed" if is_over else "pending",
        attempts=attempts,
        last_status=answer.status,
        last_error=answer.error,
        next_attempt_at=next_attempt_at,
    )


def retry_after_s(value: str | None, now: float) -> float:
    """Return the pause that a Retry-After (RFC 9110, section 10.2.3) asks for, from `now` on; 0 if it cannot be read.

    Never more than `LONGEST_RETRY_AFTER_S` seconds.
    """
    text = (value or "").strip()
    pause_s = 0.0
    if text.isascii() and text.isdigit():
        pause_s = float(text)
    else:
        with contextlib.suppress(ValueError, OverflowError):
            moment = parsedate_to_datetime(text)
            pause_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    return min(max(0.0, pause_s), LONGEST_RETRY_AFTER_S)
