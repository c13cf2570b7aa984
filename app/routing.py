"""Routing: which queue a job is sent to."""

from __future__ import annotations

from app.errors import ConfigurationError
from app.jobs.record import JobOptions
from app.methods import AUTO, BEST_SEPARATOR, Kind
from app.plugins import names as names_of
from app.queue import GPU_QUEUE_NAME, QUEUE_NAME, QueueName
from app.settings import Settings


def parse_gpu_jobs(setting: str | None) -> frozenset[str]:
    """Return the taggers and separators whose jobs go to the GPU queue.

    Raises
    ------
    ConfigurationError
        If there is none of a name.
    """
    # Not "auto": which tagger that is, only the worker knows that takes the job.
    known = [name for kind in Kind for name in names_of(kind) if name != AUTO]
    names = frozenset(name.strip() for name in (setting or "").split(",") if name.strip())
    unknown = sorted(names.difference(known))
    if unknown:
        raise ConfigurationError(
            f"DUETTO_GPU_JOBS: no tagger or separator is called {unknown[0]!r}; name some of {', '.join(known)}, "
            "with commas between"
        )
    return names


def queue_of(options: JobOptions, settings: Settings) -> QueueName:
    """Return the queue for a job with these options: that for GPU workers if what it uses is in `gpu_jobs`.

    Raises
    ------
    ConfigurationError
        If `gpu_jobs` cannot be read.
    """
    used = {_resolved(options.separator, settings.separator, BEST_SEPARATOR)}
    # Nobody looks at the picture where the user has named both sides.
    if options.left is None or options.right is None:
        used.add(_resolved(options.tagger, settings.tagger, AUTO))
    return QUEUE_NAME if used.isdisjoint(parse_gpu_jobs(settings.gpu_jobs)) else GPU_QUEUE_NAME


def _resolved(asked_for: str, default: str, best: str) -> str:
    return next((name for name in (asked_for, default) if name != AUTO), best)
