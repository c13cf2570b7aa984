"""The Celery app of the workers: ``celery -A worker.celery:celery_app worker``.

Its settings are `app.queue.celery_options`, which the web process sends by.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.apps import worker as worker_program
from celery.signals import setup_logging, worker_init, worker_process_init, worker_ready, worker_shutdown

from app.broker import connect
from app.broker_health import warn_of_broker
from app.errors import ConfigurationError
from app.logs.setup import configure_logging
from app.methods import Kind
from app.plugins import installed
from app.queue import celery_options
from app.settings import get_settings
from app.webhooks.acceptance import check_webhooks
from worker.device import check_device
from worker.presence import Announcer
from worker.upkeep import Upkeep
from worker.webhooks.deliverer import Deliverer

logger = logging.getLogger(__name__)
_settings = get_settings()
# Read by OpenMP and MKL when torch is imported. Two jobs whose threads spin for the same cores slow each other tenfold.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, str(_settings.threads_per_job))

check_webhooks(_settings)
celery_app = Celery("duetto", include=["worker.tasks"])
celery_app.conf.update(celery_options(_settings))


@setup_logging.connect  # type: ignore[untyped-decorator]  # Celery publishes no types
def _configure_logging(**_: Any) -> None:
    # Instead of Celery's own; its --loglevel has a default and cannot be told from a wish.
    configure_logging(_settings)
    if _settings.log_format == "json":
        worker_program.safe_say = _say_as_json


def _say_as_json(message: str, *_: Any) -> None:
    """Write what Celery says when it is told to stop: from a signal handler, where nothing may wait for a lock."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {"time": moment, "level": "warning", "logger": "celery", "message": message.strip()}
    os.write(sys.stderr.fileno(), json.dumps(line).encode() + b"\n")


@worker_init.connect  # type: ignore[untyped-decorator]  # as above
def _check_device(**_: Any) -> None:
    try:
        check_device(_settings)
    except ConfigurationError as error:
        configure_logging(_settings)  # Celery asks for it later
        logger.critical("this worker does not start: %s", error.detail)
        raise SystemExit(1) from error


@worker_init.connect  # type: ignore[untyped-decorator]  # as above
def _import_libraries(**_: Any) -> None:
    """Import what jobs need before the children are forked: a child that replaces one that died can begin at once.

    Importing torch starts no thread of it; using it would, and those do not survive a fork. It takes 2 s of work, which
    each child would have to do itself, with its first job in hand; and on a busy machine that is the longest wait of a
    job that is taken from a dead worker. Elsewhere than on Linux, system libraries may not be used after a fork.
    """
    if sys.platform == "linux":
        importlib.import_module("worker.jobs")


@worker_process_init.connect  # type: ignore[untyped-decorator]  # as above
def _load_models(**_: Any) -> None:
    """Let a new child load its models while it waits for a job; in a thread, as Celery ends a child that is late."""
    if sys.platform != "linux":
        return
    from worker.engines import engines_of  # noqa: PLC0415 - `_import_libraries` has imported it

    try:
        engines = engines_of(_settings)
    except ConfigurationError as error:
        logger.warning("no models are loaded ahead: %s", error.detail)
        return
    threading.Thread(target=engines.warm, name="warm", daemon=True).start()


@worker_ready.connect  # type: ignore[untyped-decorator]  # as above
def _start_upkeep(sender: Any, **_: Any) -> None:
    with closing(connect(_settings)) as client:
        warn_of_broker(client)
    for reason in (reason for kind in Kind for reason in installed(kind).rejected.values()):
        logger.warning(reason)
    announcer = Announcer(str(sender.hostname), _settings, tuple(sender.app.amqp.queues.consume_from))
    announcer.start()
    upkeep = Upkeep(_settings)
    upkeep.start()
    deliverer = Deliverer(_settings)
    deliverer.start()

    # In the parent alone: the children are forked before it is ready, or when they replace one that died.
    def stop(**_: Any) -> None:
        upkeep.stop()
        deliverer.stop()
        announcer.stop()

    worker_shutdown.connect(stop, weak=False)
