"""Looks at the settings: whether they can be used together, and whether the address to listen on is free."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final

import httpx

from app.doctor.finding import Findings, ok, problem, warning
from app.embedded import LOOPBACK
from app.errors import DuettoError
from app.exposure import check_exposure, is_loopback
from app.keys import parse_keyring
from app.routing import parse_gpu_jobs
from app.settings import Settings
from app.webhooks.acceptance import check_webhooks

SETTINGS: Final = "settings"
API: Final = "api"
_TIMEOUT_S: Final = 3.0
_CHECKS: Final[tuple[Callable[[Settings], object], ...]] = (
    check_exposure,
    lambda settings: parse_keyring(settings.api_keys),
    check_webhooks,
    lambda settings: parse_gpu_jobs(settings.gpu_jobs),
)


def check_settings(settings: Settings) -> Findings:
    """Look for settings that contradict each other, or this machine."""
    is_fine = True
    for check in _CHECKS:
        try:
            check(settings)
        except DuettoError as error:
            is_fine = False
            yield problem(SETTINGS, error.detail)
    for text in _contradictions(settings):
        is_fine = False
        yield warning(SETTINGS, text)
    if is_fine:
        who = "anyone" if settings.allow_anonymous else "this machine only"
        asked = "an API key is asked for" if settings.api_keys else f"no API keys: {who} is answered"
        yield ok(SETTINGS, f"they fit together; {asked}")


def _contradictions(settings: Settings) -> list[str]:
    cores = os.cpu_count() or 1
    threads = settings.workers * settings.threads_per_job
    found = {
        f"{settings.workers} x {settings.threads_per_job} threads (jobs at a time, threads for each) on {cores} cores: "
        "jobs slow each other down; lower DUETTO_WORKERS or DUETTO_THREADS": threads > max(cores, 1),
        "DUETTO_MAX_QUEUED_PER_CLIENT is above DUETTO_MAX_QUEUED and limits nothing: lower it": (
            settings.max_queued_per_client > settings.max_queued
        ),
        "DUETTO_S3_ENDPOINT or DUETTO_S3_ACCESS_KEY_ID is set and DUETTO_STORAGE is not, so files go to "
        "DUETTO_DATA_DIR: set DUETTO_STORAGE=s3://BUCKET, or unset them": (
            not settings.storage and bool(settings.s3_endpoint or settings.s3_access_key_id)
        ),
        "DUETTO_ALLOW_ANONYMOUS is set beside DUETTO_API_KEYS and does nothing: unset one of them": bool(
            settings.allow_anonymous and settings.api_keys
        ),
        "DUETTO_CORS_ORIGINS is * and no API keys are set: any web page that a user opens may use this server; "
        "name the origins": "*" in (settings.cors_origins or "") and not settings.api_keys,
    }
    return [text for text, holds in found.items() if holds]


def check_api(settings: Settings) -> Findings:
    """Look at the address that `duetto serve` listens on: Duetto, nobody, or somebody else is there."""
    if settings.port == 0:
        yield ok(API, "listens on a free port (DUETTO_PORT is 0)")
        return
    host = settings.host if is_loopback(settings.host) else LOOPBACK
    shown = f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
    if _is_free(host, settings.port):
        yield ok(API, f"nobody listens at {shown}: `duetto serve` can start there")
        return
    try:
        with httpx.Client(base_url=f"http://{shown}", timeout=_TIMEOUT_S, trust_env=False) as client:
            version = client.get("/version").json()
            is_ours = version["name"] == "duetto"
            ready = client.get("/readyz")
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        yield problem(API, f"something else than Duetto listens at {shown}: stop it, or choose another DUETTO_PORT")
        return
    if ready.is_success:
        yield ok(API, f"Duetto {version['version']} at {shown} is ready")
    else:
        yield problem(API, f"Duetto at {shown} is not ready: {ready.json().get('detail', ready.status_code)}")


def _is_free(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_S):
            return False
    except OSError:
        return True
