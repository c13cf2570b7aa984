"""One log for a whole process: ours, uvicorn's, Celery's, Python's warnings and what nobody caught, to stderr."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Final, TextIO

from app.logs.lines import JsonLine, TextLine
from app.logs.secrets import secret_values
from app.settings import Settings

# Libraries that log every request of theirs at info.
_CHATTY: Final = ("httpx", "httpcore")
# Libraries that bring handlers of their own, which would write a second line in another form.
_WITH_HANDLERS: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "celery", "celery.task", "celery.redirected")

_log = logging.getLogger("duetto")


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is at that moment, as Python's own handler of last resort does."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # there is nothing to set
        return sys.stderr


def configure_logging(settings: Settings, level: str | None = None) -> None:
    """Send all logging of this process to stderr in the format of the settings; for who owns the process.

    Parameters
    ----------
    settings : the format, and what no line may hold
    level : the least severe line to log; None: the settings'
    """
    secrets = secret_values(settings)
    handler = _Stderr()
    handler.setFormatter(JsonLine(secrets) if settings.log_format == "json" else TextLine(secrets))
    root = logging.getLogger()
    root.handlers[:] = [other for other in root.handlers if not isinstance(other, _Stderr)] + [handler]
    root.setLevel((level or settings.log_level).upper())
    for name in _WITH_HANDLERS:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def quiet_level(settings: Settings) -> str:
    """Return the level for a process whose log a person reads at a terminal: that things go well need not be said."""
    is_for_people = settings.log_format == "text" and settings.log_level == "info"
    return "warning" if is_for_people else settings.log_level


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _log.critical("the process ends: %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(caught: threading.ExceptHookArgs) -> None:
    if caught.exc_type is SystemExit or caught.exc_value is None:
        return
    name = caught.thread.name if caught.thread else "?"
    error = (caught.exc_type, caught.exc_value, caught.exc_traceback)
    _log.error("the thread %s ends: %s", name, caught.exc_type.__name__, exc_info=error)
