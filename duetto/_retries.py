"""When a call is made again, and after how long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from duetto._errors import Error, ServerUnreachable
from duetto._problems import ServerBusy

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 8.0
LONGEST_HINT_S: Final = 30.0  # a longer Retry-After is not waited for: the caller shall know


class Retries:
    """Counts the failures of one call.

    Parameters
    ----------
    limit : how often it may be made again in a row
    clock : seconds, steadily growing
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._patience_s = 0.0
        self._since = 0.0
        self.failures = 0

    def succeeded(self, patience_s: float = 0.0) -> None:
        """Forget all failures. From now on the server may be away for `patience_s`, however often it is asked."""
        self.failures = 0
        self._patience_s = patience_s

    def pause_s(self, error: Error, hint_s: float | None = None) -> float:
        """Return the seconds to wait before the call is made again.

        Parameters
        ----------
        error : what went wrong
        hint_s : what the server has asked for, if the error does not say

        Raises
        ------
        Error
            `error` itself, if it would come again, or came too often.
        """
        if not isinstance(error, ServerUnreachable | ServerBusy):
            raise error
        now = self._clock()
        self._since = self._since if self.failures else now
        self.failures += 1
        is_over = self.failures > self._limit and now - self._since >= self._patience_s
        hint_s = error.retry_after_s if isinstance(error, ServerBusy) and error.retry_after_s is not None else hint_s
        if is_over or not self._limit or (hint_s or 0.0) > LONGEST_HINT_S:
            raise error
        if hint_s is not None:
            return hint_s
        backoff_s = min(FIRST_PAUSE_S * 2.0 ** min(self.failures - 1, 16), LONGEST_PAUSE_S)
        # Clients that a restart has cut off shall not come back all at once.
        return backoff_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
