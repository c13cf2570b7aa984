"""The Celery app of the workers: ``celery -A worker.celery:celery_app worker``.

Its settings are `app.queue.celery_options`, which the web process sends by.
"""

from __future__ import annotations

import os

from celery import Celery

from app.queue import celery_options
from app.settings import get_settings

_settings = get_settings()
# Read by OpenMP and MKL when torch is imported, which the children do. Two jobs whose threads spin for
# the same cores slow each other tenfold.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, str(_settings.threads_per_job))

celery_app = Celery("duetto", include=["worker.tasks"])
celery_app.conf.update(celery_options(_settings))
