"""The Celery app of the workers: ``celery -A worker.celery:celery_app worker``.

Its settings are `app.queue.celery_options`, which the web process sends by.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutdown

from app.queue import celery_options
from app.settings import get_settings
from worker.upkeep import Upkeep

_settings = get_settings()
# Read by OpenMP and MKL when torch is imported, which the children do. Two jobs whose threads spin for
# the same cores slow each other tenfold.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, str(_settings.threads_per_job))

celery_app = Celery("duetto", include=["worker.tasks"])
celery_app.conf.update(celery_options(_settings))


@worker_ready.connect  # type: ignore[untyped-decorator]  # Celery publishes no types
def _start_upkeep(**_: Any) -> None:
    upkeep = Upkeep(_settings)
    upkeep.start()

    # In the parent alone: the children are forked before it is ready, or when they replace one that died.
    def stop(**_: Any) -> None:
        upkeep.stop()

    worker_shutdown.connect(stop, weak=False)
