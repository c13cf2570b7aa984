"""Every setting of Duetto, in one place. Each is an environment variable with the prefix ``DUETTO_``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.methods import DeviceName, Kind
from app.plugins import check_name

MIB = 1 << 20
SeparatorSetting = Annotated[str, AfterValidator(partial(check_name, Kind.SEPARATOR))]
TaggerSetting = Annotated[str, AfterValidator(partial(check_name, Kind.TAGGER))]
# Plain text for the sake of who builds on them, and never shown; every setting of type SecretStr hides itself.
SECRETS = frozenset({"redis_url", "api_keys"})
MASK = "**********"


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
    storage: str | None = Field(
        default=None,
        description="Where uploads and stems go instead of `data_dir`: s3://BUCKET or s3://BUCKET/PREFIX, a bucket "
        "that speaks S3.",
    )
    s3_endpoint: str | None = Field(
        default=None,
        description="Address of the S3 server, e.g. https://minio.example:9000. Unset: AWS_ENDPOINT_URL, else "
        "Amazon's.",
    )
    s3_region: str | None = Field(default=None, description="Region of the bucket. Unset: AWS_REGION, else us-east-1.")
    s3_access_key_id: str | None = Field(
        default=None,
        description="Key for the bucket. Unset: AWS_ACCESS_KEY_ID, else what the machine's role or web identity gives.",
    )
    s3_secret_access_key: SecretStr | None = Field(
        default=None, description="Secret of `s3_access_key_id`. Unset: AWS_SECRET_ACCESS_KEY."
    )
    s3_virtual_hosts: bool = Field(
        default=False,
        description="Whether `s3_endpoint` has the bucket in its host name; otherwise the bucket goes into the path.",
    )
    redis_url: str | None = Field(
        default=None,
        description="Redis or Valkey to use, e.g. redis://redis:6379/0, or rediss://USER:PASSWORD@redis:6379/0 for "
        "TLS. Unset: `duetto serve` starts its own.",
    )
    redis_ca_file: Path | None = Field(
        default=None, description="Certificates (PEM) that Redis's must be signed by. Unset: those the system trusts."
    )
    redis_cert_file: Path | None = Field(
        default=None, description="Certificate (PEM) to show to Redis, where it asks for one."
    )
    redis_key_file: Path | None = Field(
        default=None, description="Private key (PEM) of `redis_cert_file`, if it is not in that file."
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
    media_memory_bytes: int = Field(
        default=2048 * MIB,
        ge=512 * MIB,
        description="Address space of the process that decodes an upload.",
    )
    media_cpu_s: PositiveFloat = Field(
        default=120.0, description="CPU seconds for decoding an upload, before any of it is decoded."
    )
    media_cpu_per_s: PositiveFloat = Field(
        default=4.0, description="CPU seconds more for decoding, for each second of the recording that was decoded."
    )
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

    webhook_secret: SecretStr | None = Field(
        default=None,
        description="Secret that signs webhooks, as `duetto webhook-secret` makes it; several, to replace one by "
        "another, have spaces between. Unset: `webhook_url` is refused. API and workers need the same.",
    )
    webhook_allow_private: str | None = Field(
        default=None,
        description="Comma-separated networks that webhooks may go to although they are not public, e.g. 10.1.0.0/16.",
    )

    tagger: TaggerSetting = Field(default="auto", description="Picture network for jobs that name none.")
    separator: SeparatorSetting = Field(default="auto", description="Separator for jobs that name none.")
    device: DeviceName = Field(
        default="cpu",
        description="Where a worker's networks, and guided NMF, run: `cpu`, `cuda` (an NVIDIA GPU; without one the "
        "worker does not start), or `auto` (the GPU if there is one).",
    )
    gpu_jobs: str | None = Field(
        default=None,
        description="Comma-separated names of taggers and separators whose jobs wait in a queue of their own, "
        "`duetto-gpu`, e.g. densenet161. Unset: none.",
    )
    densenet161_weights: Path | None = Field(
        default=None, description="File with DenseNet-161's ImageNet weights. Unset: the cache, else a download."
    )
    offline: bool = Field(default=False, description="Never download weights; use what is on the machine.")

    job_time_s: PositiveFloat = Field(
        default=900.0, description="Seconds that a job may run, whatever the length of its recording."
    )
    job_time_per_s: PositiveFloat = Field(
        default=20.0, description="Seconds more that a job may run, for each second of its recording."
    )
    soft_time_limit_s: PositiveInt = Field(
        default=6 * 3600, description="No job runs longer than this many seconds, whatever its length."
    )
    job_ttl_s: PositiveFloat = Field(
        default=7 * 86400.0,
        description="Seconds after its end that a job keeps its upload and stems; then it is `expired`, and after as "
        "long again its record goes too.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe line to log."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="Lines of the log for people, or one JSON object a line."
    )

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        """Show all but what is not for a log: pydantic's own hook for `repr` and `str`."""
        for name, value in super().__repr_args__():
            yield name, MASK if value is not None and name in SECRETS else value

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
