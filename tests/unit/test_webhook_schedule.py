"""When a webhook is sent again, by what came of the attempts so far."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.record import Delivery
from worker.webhooks.connection import Answer
from worker.webhooks.schedule import LONGEST_RETRY_AFTER_S, PAUSES_S, after_attempt

NOW = 1_700_000_000.25
DAY_S = 86_400.0


@given(
    attempts=st.integers(min_value=0, max_value=len(PAUSES_S)),
    status=st.none() | st.integers(min_value=100, max_value=599),
    draw=st.floats(min_value=0, max_value=1),
    retry_after=st.none() | st.text(max_size=12) | st.integers().map(str),
)
def test_every_answer_ends_it_or_leads_to_a_next_attempt(
    attempts: int, status: int | None, draw: float, retry_after: str | None
) -> None:
    answer = Answer(status, None if status else "timeout", retry_after)
    after = after_attempt(Delivery(attempts=attempts), answer, NOW, lambda: draw)
    assert (after.attempts, after.last_status, after.last_error) == (attempts + 1, status, answer.error)
    if status in range(200, 300):
        assert (after.state, after.next_attempt_at) == ("delivered", None)
    elif status == 410 or attempts == len(PAUSES_S):
        assert (after.state, after.next_attempt_at) == ("failed", None)
    else:
        assert after.state == "pending"
        assert after.next_attempt_at is not None
        least_s = PAUSES_S[attempts]
        assert NOW + least_s <= after.next_attempt_at <= NOW + max(1.2 * least_s, LONGEST_RETRY_AFTER_S) + 1e-6


def test_what_failed_together_does_not_come_back_together() -> None:
    moments = {after_attempt(Delivery(), Answer(500), NOW).next_attempt_at for _ in range(20)}
    assert len(moments) > 10


@pytest.mark.parametrize(
    ("value", "pause_s"),
    [
        ("120", 120.0), ("2", PAUSES_S[0]), ("99999999", DAY_S), ("soon", PAUSES_S[0]), ("-5", PAUSES_S[0]),
        ("9" * 500, DAY_S), ("", PAUSES_S[0]), ("²", PAUSES_S[0]),
        ("Fri, 31 Dec 1999 23:59:59 GMT", PAUSES_S[0]), ("Fri, 31 Dec 9999 23:59:59 GMT", DAY_S),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 59.75), ("Tue, 14 Nov 2023 22:14:20 -0000", 59.75),
    ],
)  # fmt: skip
def test_a_receiver_may_ask_for_time(value: str, pause_s: float) -> None:
    after = after_attempt(Delivery(), Answer(429, None, value), NOW, lambda: 0.0)
    assert after.next_attempt_at == NOW + pause_s
