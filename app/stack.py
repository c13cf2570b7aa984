"""The whole service on one machine: broker, worker and API, started in that order and stopped in the other."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import redis
from pydantic import SecretStr

import app
from app.broker import connect, shown_address
from app.embedded import LOOPBACK, EmbeddedValkey
from app.errors import DuettoError
from app.logs.setup import quiet_level
from app.queue import QUEUES, SOFT_SHUTDOWN_TIMEOUT_S, celery_options
from app.settings import Settings
from app.supervisor import Child, Supervisor

if TYPE_CHECKING:
    import uvicorn

WORKER_APP = "worker.celery:celery_app"
# Celery hands running jobs back to the queue when its soft shutdown is over, then ends its pool.
WORKER_GRACE_S = SOFT_SHUTDOWN_TIMEOUT_S + 15.0
# Celery warns root because of pickle; our workers accept nothing but JSON, and in a container root is usual.
ROOT_WARNING_FILTER = "ignore:You're running the worker with superuser"
API_GRACE_S = 3  # open long polls and downloads are cut off after this
READY_TIMEOUT_S = 120.0  # a cold start of the models on a busy machine
PING_TIMEOUT_S = 1.0
POLL_S = 0.05
BACKLOG = 2048
LOG_TAIL_LINES = 12


class PortInUse(DuettoError):  # noqa: N818 - named for what happened
    """The address to listen on is taken or not ours to take."""


class BrokerUnreachable(DuettoError):  # noqa: N818
    """The Redis that the settings name does not answer."""


class StackNotReady(DuettoError):  # noqa: N818
    """The API or the worker did not come up."""


@dataclass(frozen=True)
class Backstage:
    """Broker and worker, running: what the API needs behind it."""

    settings: Settings
    redis_url: str
    worker: Supervisor
    worker_name: str


@dataclass(frozen=True)
class Stack:
    """A running service.

    Attributes
    ----------
    url : str
        Where the API answers, without a trailing slash.
    redis_url : str
        The broker's address, password included.
    settings : Settings
        The settings that API and worker use, broker address and port filled in.
    """

    url: str
    redis_url: str
    settings: Settings
    worker: Supervisor

    @property
    def worker_pid(self) -> int:
        """Process id of Celery's main process; another one after the worker was restarted."""
        return self.worker.pid


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host`:`port` (0: a free port).

    Raises
    ------
    PortInUse
        If the address cannot be taken; the message says why and what to do.
    """
    try:
        family, _, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
    except OSError as error:
        raise PortInUse(f"{host!r} is no address of this machine ({error.strerror}). Try --host {LOOPBACK}.") from error
    # The protocol is spelt out: asyncio turns Nagle's algorithm off only for a socket that says that it is TCP's. With
    # it on, the body of an answer waits up to 40 ms until the client has acknowledged the head (measured).
    listener = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"cannot listen on {host}, port {port}: {error.strerror}. "
            "Stop what uses it, or choose another with --port (0 takes a free one)."
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the http address at which `listener` can be reached from this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound to
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def worker_environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a worker: this one, every setting spelt out, and the thread limits."""
    environment = dict(os.environ)
    for name, value in settings:
        variable = f"DUETTO_{name.upper()}"
        environment.pop(variable, None)
        if isinstance(value, SecretStr):
            environment[variable] = value.get_secret_value()
        elif isinstance(value, Path):
            # The worker runs in a folder of its own; relative paths were meant from here.
            environment[variable] = str(value.resolve())
        elif value is not None:
            environment[variable] = str(value)
    threads = str(settings.threads_per_job)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[variable] = threads
    environment["REMAP_SIGTERM"] = "SIGQUIT"  # SIGTERM hands running jobs back to the queue
    # The worker must run the very code that this process runs, installed or not.
    here = str(Path(app.__file__).resolve().parent.parent)
    known = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = f"{known}{os.pathsep}{here}" if known else here
    return environment


def _worker_command(settings: Settings, name: str) -> list[str]:
    return [
        sys.executable, "-P", "-W", ROOT_WARNING_FILTER, "-m", "celery", "-A", WORKER_APP, "--quiet", "worker",
        "--pool", "prefork", "--concurrency", str(settings.workers), "--queues", ",".join(QUEUES),
        "--hostname", name, "--without-gossip", "--without-mingle",
    ]  # fmt: skip


def _check_broker(settings: Settings) -> None:
    try:
        with contextlib.closing(connect(settings)) as client:
            client.ping()
    except (redis.exceptions.RedisError, OSError) as error:
        raise BrokerUnreachable(
            f"no Redis answers at {shown_address(settings)} ({error}). Start it, correct --redis-url or "
            "DUETTO_REDIS_URL, or leave both out: duetto then starts a broker of its own."
        ) from error


@contextlib.contextmanager
def backstage(settings: Settings, *, worker_output: IO[bytes] | None = None) -> Iterator[Backstage]:
    """Run a broker (unless `settings.redis_url` names one) and a worker; stop worker, then broker, on leaving.

    `worker_output` takes all that the worker prints; without it, its log goes to this process's stderr, and
    Celery's banner nowhere.
    Does not wait for the worker: it takes seconds to load its models, and jobs can queue meanwhile.

    Raises
    ------
    DataDirInUse, BrokerNotStarted, BrokerUnreachable
        See there; nothing is left running.
    """
    settings = settings.model_copy(update={"data_dir": settings.data_dir.resolve()})
    with contextlib.ExitStack() as cleanup:
        if settings.redis_url is None:
            broker = cleanup.enter_context(EmbeddedValkey(settings.data_dir))
            settings = settings.model_copy(update={"redis_url": broker.url})
        redis_url = settings.redis_url
        assert redis_url is not None  # noqa: S101 - set just above
        _check_broker(settings)
        run_dir = settings.data_dir / "run"
        run_dir.mkdir(parents=True, exist_ok=True)
        # Unique among all workers that share a Redis.
        worker_name = f"duetto-{secrets.token_hex(4)}@{platform.node() or 'localhost'}"
        command = _worker_command(settings, worker_name)
        environment = worker_environment(settings)
        environment["DUETTO_LOG_LEVEL"] = quiet_level(settings)

        def start() -> Child:
            return Child(
                command,
                env=environment,
                cwd=run_dir,  # an empty folder: Celery looks for modules in the current one first
                stdout=subprocess.DEVNULL if worker_output is None else worker_output,
                stderr=worker_output,
                grace_s=WORKER_GRACE_S,
            )

        worker = Supervisor("worker", start)
        cleanup.callback(worker.stop)
        yield Backstage(settings, redis_url, worker, worker_name)


def make_server(settings: Settings, *, on_up: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """Return a uvicorn server of the API, not yet running. It calls `on_up` once it takes requests."""
    import uvicorn  # noqa: PLC0415 - only who serves pays for it

    from app.main import create_app  # noqa: PLC0415

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            on_up()

    return Server(
        uvicorn.Config(
            create_app(settings),
            log_config=None,  # what the whole process has: app/logs/setup.py
            # At a terminal its info lines only repeat what `duetto serve` prints itself.
            log_level=quiet_level(settings),
            access_log=quiet_level(settings) in ("debug", "info"),
            timeout_graceful_shutdown=API_GRACE_S,
            server_header=False,
        )
    )


@contextlib.contextmanager
def running_stack(settings: Settings) -> Iterator[Stack]:
    """Run the whole service with the API in a thread; ready on entering, all gone on leaving.

    Listens on `settings.host` and `settings.port` (0: a free port). What the worker prints goes to
    ``data_dir/worker.log``.

    Raises
    ------
    PortInUse, DataDirInUse, BrokerNotStarted, BrokerUnreachable, StackNotReady
        With nothing left running.
    """
    with contextlib.ExitStack() as cleanup:
        listener = cleanup.enter_context(contextlib.closing(listen(settings.host, settings.port)))
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        log_path = settings.data_dir / "worker.log"
        worker_log = cleanup.enter_context(log_path.open("wb"))
        stage = cleanup.enter_context(backstage(settings, worker_output=worker_log))
        server = make_server(stage.settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="api", daemon=True)
        thread.start()

        def stop_api() -> None:
            server.should_exit = True
            thread.join()

        cleanup.callback(stop_api)
        stack = Stack(url_of(listener), stage.redis_url, stage.settings, stage.worker)
        deadline = time.monotonic() + READY_TIMEOUT_S
        _await_api(stack.url, thread, deadline)
        _await_worker(stage, log_path, deadline)
        yield stack


def _await_api(url: str, thread: threading.Thread, deadline: float) -> None:
    import httpx  # noqa: PLC0415 - `duetto serve` has no need of it

    answer = "no answer"
    with httpx.Client(trust_env=False, timeout=5.0) as client:
        while time.monotonic() < deadline:
            if not thread.is_alive():
                raise StackNotReady("the API ended while it started; its log is above.")
            try:
                response = client.get(f"{url}/readyz")
            except httpx.TransportError as error:
                answer = str(error)
            else:
                if response.is_success:
                    return
                answer = response.text
            time.sleep(POLL_S)
    raise StackNotReady(f"the API is not ready after {READY_TIMEOUT_S:.0f} s: {answer}")


def _await_worker(stage: Backstage, log_path: Path, deadline: float) -> None:
    """Wait until the worker answers a ping through the broker: it then takes jobs."""
    from celery import Celery  # noqa: PLC0415 - heavy, and `duetto serve` does not wait

    def with_log(head: str) -> str:
        lines = log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join((head, *lines))

    with Celery("duetto-ping", set_as_current=False) as pinger:
        pinger.conf.update(celery_options(stage.settings))
        while time.monotonic() < deadline:
            if stage.worker.restarts:
                raise StackNotReady(with_log("the worker ended while it started. Its last words:"))
            if pinger.control.ping(destination=[stage.worker_name], timeout=PING_TIMEOUT_S, limit=1):
                return
    raise StackNotReady(with_log(f"the worker is not ready after {READY_TIMEOUT_S:.0f} s. Its last words:"))
