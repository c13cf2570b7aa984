"""The web process alone, in a process of its own, with a route that does nothing beside the true ones.

``python -m tests.bench.api_process`` serves with the settings of the environment until its input ends.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from app.main import create_app
from app.settings import Settings
from app.stack import listen, url_of, worker_environment

ROOT = Path(__file__).resolve().parents[2]
BARE = "/bare"


@dataclass(frozen=True)
class ApiProcess:
    """Where it answers, and its process id."""

    url: str
    pid: int


@contextlib.contextmanager
def running_api(settings: Settings) -> Iterator[ApiProcess]:
    """Serve the API with `settings`, which name a Redis; gone on leaving."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.api_process"],
        cwd=ROOT,
        env=worker_environment(settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, "the API ended; its words are above"
            yield ApiProcess(url, process.pid)
        finally:
            process.terminate()


def main() -> None:
    """Serve until SIGTERM."""
    app = create_app()
    settings = app.state.settings

    @app.get(BARE, include_in_schema=False)
    async def bare() -> dict[str, str]:
        """What any answer of FastAPI costs, through the same middleware."""
        return {"state": "bare"}

    listener = listen(settings.host, 0)
    # The socket takes connections from here on, also before the server reads from it.
    print(url_of(listener), flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
