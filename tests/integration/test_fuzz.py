"""A short run of the fuzzer: everything hostile that it knows once, and some mutations. The long one: `make fuzz`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import judge
from tests.fuzz.campaign import fuzz_settings, run_campaign
from tests.fuzz.plan import CATALOGUE, digest, make_case
from tests.fuzz.service import running_service
from tests.fuzz.wire import Answer

CASES = 300
SEED = 1
NUMBERS = list(range(0, CASES, 3))
ROOT = Path(__file__).parents[2]


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_hostile_uploads_do_no_harm(tmp_path: Path) -> None:
    with running_service(fuzz_settings(tmp_path)) as service:
        report = run_campaign(service, SEED, range(CASES))
    assert report.all_faults == []
    assert len(report.verdicts) == CASES
    # Neither was all refused, nor all taken.
    states = {outcome.split()[1] for outcome in report.outcomes if outcome.startswith("202")}
    assert states == {"succeeded", "failed"}


def test_a_short_run_tries_everything_once() -> None:
    assert {make_case(SEED, number).name for number in range(CASES)} >= set(CATALOGUE)


def test_a_case_is_the_same_in_another_process() -> None:
    program = (
        f"from tests.fuzz.plan import digest, make_case; print(*(digest(make_case({SEED}, n)) for n in {NUMBERS}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest(make_case(SEED, number)) for number in NUMBERS]


def test_what_a_server_must_not_do_is_noticed() -> None:
    case = make_case(SEED, 0)
    whole = {"type": "t", "title": "t", "status": 422, "code": "c", "instance": "/", "request_id": "r"}

    def faults(answered: int | None, **document: object) -> list[str]:
        headers = {"content-type": "application/problem+json", "x-request-id": "r"}
        return judge.faults_of_answer(case, Answer(answered, headers, json.dumps(document).encode()))

    assert faults(422, **whole, detail="what was wrong and what to do about it") == []
    assert faults(503, **whole, detail="what was wrong and what to do about it")
    assert faults(422, **whole, detail="cannot open /tmp/duetto/jobs/1/upload/video.mp4")
    assert faults(422, detail="what was wrong and what to do about it")
    assert faults(None)
    good = {"state": "failed", "attempts": 1, "error": {"code": "no_audio", "message": "The file has no sound in it."}}
    assert judge.faults_of_job(good, "/srv/data") == []
    assert judge.faults_of_job(good | {"attempts": 2}, "/srv/data")
    assert judge.faults_of_job(good | {"state": "running"}, "/srv/data")
    for code, message in (
        ("internal_error", "It went wrong, sorry for it."),
        ("no_audio", "no sound in /srv/data/jobs"),
    ):
        assert judge.faults_of_job(good | {"error": {"code": code, "message": message}}, "/srv/data")
    assert judge.faults_of_outcome(make_case(SEED, 0), "202 succeeded")
