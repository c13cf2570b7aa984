"""The tally: what all processes count and measure together, in one Redis hash.

``duetto:metrics`` holds a number for each field ``FAMILY|LABEL|LABEL...``; a histogram has one for each bucket,
``...|le=BOUND`` (of that bucket alone, not cumulated), and ``...|sum``. Web processes and workers add to it, on
whatever machine, and each web process reads it: so every scrape has the same totals, and a restart of a
process resets none.
"""

from __future__ import annotations

import logging
import math
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping

import redis

from app.metrics.families import Family

logger = logging.getLogger(__name__)

KEY = "duetto:metrics"
SEPARATOR = "|"
_BOUND = "le="
_SUM = "sum"


class Tally:
    """Amounts that wait to be added to the common ones. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._amounts: defaultdict[str, float] = defaultdict(float)

    def count(self, family: Family, *labels: str, amount: float = 1) -> None:
        """Add `amount` to a counter; `labels` are values, in the family's order."""
        with self._lock:
            self._amounts[_field(family, labels)] += amount

    def observe(self, family: Family, *labels: str, value: float) -> None:
        """Add one observation to a histogram."""
        place = bisect_left(family.buckets, value)
        bound = family.buckets[place] if place < len(family.buckets) else math.inf
        with self._lock:
            self._amounts[_field(family, (*labels, f"{_BOUND}{bound!r}"))] += 1
            self._amounts[_field(family, (*labels, _SUM))] += value

    def flush(self, client: redis.Redis) -> None:
        """Add what waits to the common amounts, in one round trip.

        If Redis cannot be reached it goes on waiting. Should an answer be lost after Redis has acted, amounts are
        added twice; that is rarer, and less harmful, than losing them at every restart of Redis.

        Raises
        ------
        redis.exceptions.RedisError
            If Redis cannot be reached.
        """
        with self._lock:
            amounts, self._amounts = self._amounts, defaultdict(float)
        if not amounts:
            return
        pipeline = client.pipeline(transaction=True)
        for field, amount in amounts.items():
            pipeline.hincrbyfloat(KEY, field, amount)
        try:
            pipeline.execute()
        except redis.RedisError:
            with self._lock:
                for field, amount in amounts.items():
                    self._amounts[field] += amount
            raise

    def try_flush(self, client: redis.Redis) -> bool:
        """As `flush`, but return False if Redis cannot be reached: no job or request fails for being counted."""
        try:
            self.flush(client)
        except redis.RedisError as error:
            logger.debug("counts were not taken: %s", type(error).__name__)
            return False
        return True


class Totals:
    """The common amounts, as read from the hash; fields of families that this version does not know are left out."""

    def __init__(self, amounts: Mapping[str, str]) -> None:
        self._amounts: dict[str, dict[tuple[str, ...], float]] = {}
        for field, text in amounts.items():
            name, *labels = field.split(SEPARATOR)
            self._amounts.setdefault(name, {})[tuple(labels)] = float(text)

    def counter(self, family: Family) -> dict[tuple[str, ...], float]:
        """Return each combination of labels with its amount."""
        found = self._amounts.get(family.name, {})
        return {labels: amount for labels, amount in found.items() if len(labels) == len(family.labels)}

    def histogram(self, family: Family) -> dict[tuple[str, ...], tuple[list[tuple[str, float]], float]]:
        """Return each combination of labels with its buckets, ``(bound, number up to it)``, and its sum."""
        raw: dict[tuple[str, ...], dict[str, float]] = {}
        for labels, amount in self._amounts.get(family.name, {}).items():
            if len(labels) == len(family.labels) + 1:
                raw.setdefault(labels[:-1], {})[labels[-1]] = amount
        found = {}
        for labels, parts in raw.items():
            buckets, total = [], 0.0
            for bound in (*family.buckets, math.inf):
                total += parts.get(f"{_BOUND}{bound!r}", 0.0)
                buckets.append(("+Inf" if math.isinf(bound) else repr(bound), total))
            found[labels] = (buckets, parts.get(_SUM, 0.0))
        return found


def _field(family: Family, labels: tuple[str, ...]) -> str:
    return SEPARATOR.join((family.name, *labels))
