"""Every setting of Duetto, in one place. Each is an environment variable with the prefix ``DUETTO_``."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.methods import SeparatorName, TaggerName

MIB = 1 << 20


def _default_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "duetto"


def _default_cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "duetto"


class Settings(BaseSettings):
    """What an operator may set. The table in docs/configuration.md is generated from this class."""

    model_config = SettingsConfigDict(env_prefix="DUETTO_", extra="ignore", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address that `duetto serve` listens on.")
    port: int = Field(
        default=8000, ge=0, le=65535, description="Port that `duetto serve` listens on; 0 takes a free one."
    )
    data_dir: Path = Field(
        default_factory=_default_data_dir, description="Folder for uploads, stems and the embedded broker's log."
    )
    cache_dir: Path = Field(
        default_factory=_default_cache_dir, description="Folder for downloaded weights and training sources."
    )
    redis_url: str | None = Field(
        default=None,
        description="Redis or Valkey to use, e.g. redis://redis:6379/0. Unset: `duetto serve` starts its own.",
    )
    workers: PositiveInt = Field(default=1, description="Jobs that one worker process tree handles at a time.")
    threads: PositiveInt | None = Field(
        default=None, description="Threads of linear algebra per job. Unset: the machine's cores divided by `workers`."
    )

    max_upload_bytes: PositiveInt = Field(
        default=512 * MIB, description="Largest request body; a larger one is answered 413."
    )
    max_duration_s: PositiveFloat = Field(default=7200.0, description="Longest recording in seconds.")
    max_pixels: PositiveInt = Field(default=40_000_000, description="Most pixels in one picture or video frame.")
    max_images: PositiveInt = Field(default=20_000, description="Most pictures in one upload of frames.")
    max_queued: PositiveInt = Field(
        default=10_000, description="Most jobs waiting; beyond it new ones are answered 503."
    )
    max_queued_per_client: int = Field(
        default=0,
        ge=0,
        description="Most jobs that one API key, or one address without keys, may have waiting; 0: no limit but "
        "`max_queued`.",
    )
    max_wait_s: PositiveFloat = Field(default=60.0, description="Longest time that `?wait=` holds a request open.")

    api_keys: str | None = Field(
        default=None,
        description="Who may use the API: comma-separated `name:sha256` entries as `duetto key NAME` prints them. "
        "Unset: no key is asked for, and only this machine is answered.",
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Without `api_keys`, answer other machines too: for where something else decides who gets through.",
    )
    cors_origins: str | None = Field(
        default=None,
        description="Comma-separated origins whose web pages may call the API, e.g. https://music.example; * is all.",
    )

    tagger: TaggerName = Field(default="auto", description="Picture network for jobs that name none.")
    separator: SeparatorName = Field(default="auto", description="Separator for jobs that name none.")
    densenet161_weights: Path | None = Field(
        default=None, description="File with DenseNet-161's ImageNet weights. Unset: the cache, else a download."
    )
    offline: bool = Field(default=False, description="Never download weights; use what is on the machine.")

    soft_time_limit_s: PositiveInt = Field(
        default=6 * 3600, description="A job is stopped and fails after this many seconds."
    )
    job_ttl_s: PositiveFloat = Field(
        default=7 * 86400.0,
        description="Seconds after its end that a job keeps its upload and stems; then it is `expired`, and after as "
        "long again its record goes too.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe line to log."
    )

    @property
    def hard_time_limit_s(self) -> int:
        """Seconds after which a worker child that ignores the soft limit (native code) is killed."""
        return self.soft_time_limit_s + 120

    @property
    def visibility_timeout_s(self) -> int:
        """Seconds until the broker hands an unacknowledged job to another worker: above the hard limit,
        or a long job would be started twice."""
        return self.hard_time_limit_s + 600

    @property
    def threads_per_job(self) -> int:
        """Threads of linear algebra for one job, so that `workers` jobs do not spin against each other."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.workers)


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read from the environment once."""
    return Settings()
