"""``duetto serve``: the whole service on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import ValidationError

from app.errors import ConfigurationError
from app.exposure import check_exposure, is_loopback
from app.heap import keep_heap_small
from app.keys import parse_keyring
from app.logs.setup import configure_logging, quiet_level
from app.settings import Settings
from app.stack import Stack, backstage, listen, make_server, running_stack, url_of

_log = logging.getLogger("duetto.serve")

__all__ = ["HELP", "Stack", "add_arguments", "run", "running_stack", "settings_from"]

HELP = "Start everything on this machine: the web page and API, a worker and a broker. One Ctrl-C stops it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options. Each unset one falls back to its DUETTO_ environment variable, then to its default."""
    parser.add_argument("--host", help="address to listen on (default: DUETTO_HOST or 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (default: DUETTO_PORT or 8000)")
    parser.add_argument("--workers", type=int, metavar="N", help="jobs handled at a time (default: 1)")
    parser.add_argument("--data", type=Path, metavar="DIR", dest="data_dir", help="folder for uploads and stems")
    parser.add_argument("--redis-url", metavar="URL", help="Redis to use instead of the embedded Valkey")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM. Returns 0 after a clean stop.

    Raises
    ------
    ConfigurationError, PortInUse, DataDirInUse, BrokerNotStarted, BrokerUnreachable
        With nothing left running.
    """
    keep_heap_small()
    settings = settings_from(args)
    configure_logging(settings, quiet_level(settings))
    check_exposure(settings)
    parse_keyring(settings.api_keys)  # a mistake in it is told before anything starts
    with _signals_as_interrupt(), contextlib.closing(listen(settings.host, settings.port)) as listener:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        # Outside `backstage`: a Ctrl-C during start-up, or a second one while stopping, must not skip its cleanup.
        with contextlib.suppress(KeyboardInterrupt), backstage(settings) as stage:
            server = make_server(stage.settings, on_up=lambda: _print_banner(listener, stage.settings))
            with contextlib.suppress(KeyboardInterrupt):  # uvicorn passes it on when it has shut down
                server.run(sockets=[listener])
            _say(settings, "Stopping. A running job goes back to the queue; press Ctrl-C again to stop at once.")
    _say(settings, "Stopped.")
    return 0


def settings_from(args: argparse.Namespace) -> Settings:
    """Return the settings of the environment, overridden by the options given.

    Raises
    ------
    ConfigurationError
        If a value cannot be used; the message names each option and variable.
    """
    names = ("host", "port", "workers", "data_dir", "redis_url")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        faults = (
            f"{_source(str(fault['loc'][0]), given)}: {_wish(fault['msg'])}, not {fault['input']!r}"
            for fault in error.errors()
        )
        raise ConfigurationError("; ".join(faults)) from None


def _wish(message: str) -> str:
    """What a value should be, in pydantic's words or ours."""
    return message.removeprefix("Value error, ").lower()


def _source(name: str, given: dict[str, Any]) -> str:
    if name in given:
        return {"data_dir": "--data"}.get(name, f"--{name.replace('_', '-')}")
    return f"DUETTO_{name.upper()}"


@contextlib.contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does (by default it would end this process and skip all cleanup).

    SIGINT too: a shell's background job is born with it ignored, and would not stop on a second one.
    """

    def interrupt(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _print_banner(listener: socket.socket, settings: Settings) -> None:
    url = url_of(listener)
    jobs = "one job" if settings.workers == 1 else f"{settings.workers} jobs"
    _say(
        settings,
        "\n"
        f"  Duetto is up.  The page:  {url}/\n"
        f"                 API docs:  {url}/docs\n"
        f"                 Data:      {settings.data_dir}\n"
        f"                 Works on {jobs} at a time. Ctrl-C stops it.\n",
    )
    if not is_loopback(settings.host) and not settings.api_keys:
        _say(settings, f"  Note: everyone who can reach {settings.host}:{settings.port} can use it and see all jobs.\n")


def _say(settings: Settings, text: str) -> None:
    """Tell whoever started this; where the log is for machines, on a line of it."""
    if settings.log_format == "json":
        _log.info(" ".join(text.split()))
    else:
        print(text, flush=True)
