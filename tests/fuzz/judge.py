"""Says what is wrong with an answer, or with how a job ended. An empty list: nothing.

An *outcome* is the status with the problem's code (``415 unsupported_media``; ``400 -`` for an answer that is
uvicorn's own), or 202 with the job's state and, where it failed, its code (``202 failed no_audio``).
"""

from __future__ import annotations

import re
from typing import Any, Final

from tests.fuzz.case import Case
from tests.fuzz.wire import Answer

HUNG_UP: Final = "hung up"
# What is no client's business: paths of this machine, our code's or a library's own words, the broker's address.
_LEAKS: Final = re.compile(
    r"Traceback|File \"|\.py\b|site-packages|/tmp/|/proc/|/home/|/usr/|data/jobs|redis://|0x[0-9a-f]{8,}|"
    r"Errno|Error:|Exception|\bav\.|avcodec|ffmpeg|libav|worker\.|frames\.zip/",
    re.IGNORECASE,
)  # fmt: skip
_LEAST_MESSAGE: Final = 20
# Codes of a job that say: this was the server's fault.
_OUR_FAULTS: Final = frozenset({"internal_error", "worker_lost", "time_limit", "model_unavailable", "storage_full"})


def outcome_of(answer: Answer, job: dict[str, Any] | None) -> str:
    """Return the outcome, as counted and as cases expect it."""
    if answer.status is None:
        return HUNG_UP
    if job is None:
        return f"{answer.status} {answer.document.get('code', '-')}"
    error = job.get("error") or {}
    return " ".join(filter(None, [str(answer.status), job["state"], error.get("code")]))


def faults_of_answer(case: Case, answer: Answer) -> list[str]:
    """Return what is wrong with the answer itself."""
    if answer.status is None:
        return [] if case.may_hang_up else ["the server hung up without an answer"]
    faults = []
    if answer.status >= 500:
        faults.append(f"answered {answer.status}: {answer.text[:300]}")
    if answer.status >= 400 and "x-request-id" in answer.headers:
        faults += _faults_of_problem(answer)
    if answer.status == 202 and "location" not in answer.headers:
        faults.append("202 without Location")
    return faults


def faults_of_job(job: dict[str, Any], data_dir: str) -> list[str]:
    """Return what is wrong with how a job has ended."""
    faults = []
    if job["state"] not in ("succeeded", "failed"):
        faults.append(f"the job ended {job['state']}")
    if job["attempts"] != 1:
        faults.append(f"the job took {job['attempts']} attempts: a worker died")
    if job["state"] == "failed":
        error = job["error"]
        if error["code"] in _OUR_FAULTS:
            faults.append(f"the job failed with {error['code']}: {error['message']}")
        faults += _faults_of_text(error["message"])
        if data_dir in error["message"]:
            faults.append(f"the message names a path: {error['message']}")
    return faults


def faults_of_outcome(case: Case, outcome: str) -> list[str]:
    """Return whether the outcome is not among those that the case expects."""
    if not case.expected or outcome in case.expected or (case.may_hang_up and outcome == HUNG_UP):
        return []
    return [f"ended as {outcome!r}, not as {' or '.join(map(repr, sorted(case.expected)))}"]


def _faults_of_problem(answer: Answer) -> list[str]:
    if answer.headers.get("content-type") != "application/problem+json":
        return [f"{answer.status} as {answer.headers.get('content-type')}: {answer.text[:200]}"]
    document = answer.document
    missing = {"type", "title", "status", "detail", "code", "instance", "request_id"} - set(document)
    if missing:
        return [f"a problem without {sorted(missing)}"]
    return _faults_of_text(str(document["detail"]))


def _faults_of_text(message: str) -> list[str]:
    faults = []
    if len(message) < _LEAST_MESSAGE:
        faults.append(f"a message that says nothing: {message!r}")
    if leak := _LEAKS.search(message):
        faults.append(f"a message with {leak.group()!r} in it: {message}")
    return faults
