"""The short run of CI; `make chaos` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.killing import Kind
from tests.chaos.run import run_chaos

ROUNDS = 6
SEED = 20  # by it, each kind is killed alone, and once two at once


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_no_job_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    outcome = run_chaos(tmp_path, ROUNDS, SEED, print)
    assert outcome.faults == []
    assert {one.kinds[0] for one in outcome.rounds if len(one.kinds) == 1} == set(Kind)
    assert len(outcome.rounds) == ROUNDS
    assert outcome.ends["succeeded"] > 0
