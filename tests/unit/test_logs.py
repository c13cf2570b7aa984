"""The log's lines: whole facts, one line each, and never a secret."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import redis
from pydantic import SecretStr

from app.broker import broker_problem, connect
from app.errors import DuettoError
from app.logs.context import current_context, log_context, note_stage
from app.logs.lines import JsonLine, TextLine
from app.logs.secrets import secret_values, without_secrets
from app.logs.setup import configure_logging, quiet_level
from app.main import create_app
from app.settings import MASK, SECRETS, Settings
from app.stack import worker_environment
from tests.conftest import ServedApp
from tests.unit.test_app_api import VIDEO

ROOT = Path(__file__).parents[2]


def record(message: str, *args: object, **extra: Any) -> logging.LogRecord:
    logger = logging.getLogger("duetto.test")
    return logger.makeRecord(logger.name, logging.WARNING, __file__, 1, message, args, None, extra=extra)


def as_json(entry: logging.LogRecord, secrets: tuple[str, ...] = ()) -> dict[str, Any]:
    line = JsonLine(secrets).format(entry)
    assert "\n" not in line
    document: dict[str, Any] = json.loads(line)
    return document


def test_a_json_line_carries_what_is_known() -> None:
    with log_context(job_id="j1", attempt=2, request_id="r1"):
        note_stage("separate")
        line = as_json(record("half of %s\nis done", "it"))
        with log_context(job_id="j2"):
            inner = as_json(record("another"))
    after = as_json(record("later"))
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "duetto.test",
        "message": "half of it\nis done",
        "request_id": "r1",
        "job_id": "j1",
        "attempt": 2,
        "stage": "separate",
    }
    assert inner["job_id"] == "j2"
    assert {"job_id", "attempt", "stage", "request_id"} & set(after) == set()
    assert current_context() == {}


def test_what_the_author_says_and_what_celery_says() -> None:
    assert as_json(record("sent again", job_id="j3"))["job_id"] == "j3"
    received = record("Task %(name)s[%(id)s] received", {"name": "duetto.separate", "id": "j4"}, data={"id": "j4"})
    assert as_json(received)["job_id"] == "j4"


def test_an_error_keeps_its_traceback_on_the_same_line() -> None:
    try:
        raise ValueError("no such thing")  # noqa: TRY301
    except ValueError:
        entry = record("it failed")
        entry.exc_info = sys.exc_info()
    assert "ValueError: no such thing" in as_json(entry)["exception"]
    head, *trace = TextLine().format(entry).splitlines()
    assert head.endswith("WARNING duetto.test: it failed")
    assert trace[-1] == "ValueError: no such thing"


def test_a_line_for_people_does_not_say_things_twice() -> None:
    with log_context(job_id="j5", attempt=1):
        line = TextLine().format(record("job %s begins", "j5"))
    assert line.endswith("duetto.test: job j5 begins [attempt=1]")


def test_a_thread_begins_with_nothing() -> None:
    seen: list[dict[str, object]] = []
    with log_context(job_id="j6"):
        thread = threading.Thread(target=lambda: seen.append(dict(current_context())))
        thread.start()
        thread.join()
    assert seen == [{}]


PROGRAM = """
import logging, threading, uvicorn, warnings
from app.logs.context import log_context
from app.logs.setup import configure_logging
from app.settings import Settings
configure_logging(Settings(log_format="json", redis_url="redis://:a-long-password@h/0"))
uvicorn.Config("app.main:create_app", log_config=None)
with log_context(job_id="j1"):
    logging.getLogger("celery.worker").info("Connected to redis://:a-long-password@h/0")
logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/livez", "1.1", 200)
logging.getLogger("uvicorn.error").info("Started server process [%d]", 1)
warnings.warn("this is old", DeprecationWarning, stacklevel=1)
thread = threading.Thread(target=lambda: 1 / 0, name="upkeep")
thread.start(); thread.join()
raise RuntimeError("the end: a-long-password")
"""


def test_every_line_of_a_process_is_json() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
    loggers = [line["logger"] for line in lines]
    assert loggers == ["celery.worker", "uvicorn.access", "uvicorn.error", "py.warnings", "duetto", "duetto"]
    assert lines[0]["job_id"] == "j1"
    assert lines[1]["message"] == '127.0.0.1:1 - "GET /livez HTTP/1.1" 200'
    assert "ZeroDivisionError" in lines[4]["exception"]
    assert "RuntimeError: the end" in lines[5]["exception"]
    assert "a-long-password" not in done.stderr
    assert done.stderr.count(MASK) >= 2


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_server_started_by_uvicorn(log_format: str, broker_url: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DUETTO_")}
    environment |= {
        "DUETTO_LOG_FORMAT": log_format, "DUETTO_REDIS_URL": broker_url, "DUETTO_DATA_DIR": str(tmp_path),
    }  # fmt: skip
    command = [sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory", "--port", "0"]
    lines = []
    with subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        for line in server.stderr:
            lines.append(line)
            if "Uvicorn running on " in line:
                url = line.partition("Uvicorn running on ")[2].split()[0]
                assert httpx.get(f"{url}/livez", headers={"X-Request-Id": "mine"}).status_code == 200
                server.terminate()
    (access,) = [line for line in lines if "/livez" in line]
    if log_format == "json":
        documents = [json.loads(line) for line in lines]
        assert len(documents) == len(lines)
        assert json.loads(access)["request_id"] == "mine"
        assert json.loads(access)["logger"] == "uvicorn.access"
    else:
        assert "[request_id=mine]" in access


@pytest.fixture
def undone() -> Iterator[None]:
    """What `configure_logging` changes in this process is put back."""
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks


def test_setting_it_up_twice_writes_once(undone: None, capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    for _ in range(2):
        configure_logging(settings.model_copy(update={"log_format": "json"}))
    logging.getLogger("duetto.test").warning("once")
    assert capsys.readouterr().err.count("once") == 1


def test_a_persons_terminal_is_quiet_and_a_machines_log_is_not(settings: Settings) -> None:
    assert quiet_level(settings) == "warning"
    assert quiet_level(settings.model_copy(update={"log_level": "debug"})) == "debug"
    assert quiet_level(settings.model_copy(update={"log_format": "json"})) == "info"


def test_the_request_goes_along_with_the_job(
    client: httpx.Client, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="duetto.api")
    answer = client.post("/v1/jobs", files=VIDEO, headers={"X-Request-Id": "from-the-proxy"})
    job_id = answer.json()["id"]
    assert redis_client.hget(f"duetto:job:{job_id}", "request_id") == "from-the-proxy"
    assert "from-the-proxy" not in client.get(f"/v1/jobs/{job_id}").text
    (queued,) = [entry for entry in caplog.records if "is queued" in entry.message]
    assert queued.job_id == job_id  # type: ignore[attr-defined]


def secret_fields() -> list[str]:
    """Every setting that holds a secret, by its type or by name: one that is added later is found too."""
    typed = [
        name
        for name, field in Settings.model_fields.items()
        if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
    ]
    return sorted({*typed, *SECRETS})


def test_settings_that_sound_secret_are() -> None:
    sounding = {
        name
        for name in Settings.model_fields
        if any(word in name for word in ("secret", "password", "token", "api_key")) and not name.endswith("_id")
    }
    assert sounding <= set(secret_fields())


class TestSecrets:
    """Every secret setting set, and nowhere to be seen."""

    KEY = "duetto_a-key-that-someone-sends"
    WEBHOOK = "whsec_" + "bWFya2VyLW1hcmtlci1tYXJrZXItbWFya2Vy"
    MARK = "mark3r-of-a-secret"

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        entry = f"alice:{hashlib.sha256(self.KEY.encode()).hexdigest()}"
        plain = {
            # A password where none is wanted is taken by Redis; the user is the default one.
            "redis_url": f"redis://:{self.MARK}@127.0.0.1:1/0",
            "api_keys": entry,
            "webhook_secret": SecretStr(self.WEBHOOK),
        }
        others = {name: SecretStr(f"{self.MARK}-{name}") for name in secret_fields() if name not in plain}
        return settings.model_copy(update=plain | others)

    @pytest.fixture
    def secrets(self, settings: Settings) -> frozenset[str]:
        found = secret_values(settings)
        assert len(found) >= len(secret_fields())
        return found

    def test_not_in_the_settings_themselves(self, settings: Settings, secrets: frozenset[str]) -> None:
        for text in (repr(settings), str(settings), f"{settings!r:.4000}"):
            assert without_secrets(text, secrets) == text
            assert MASK in text

    def test_but_the_worker_gets_them(self, settings: Settings) -> None:
        environment = "\n".join(worker_environment(settings).values())
        for secret in (self.MARK, self.WEBHOOK):
            assert secret in environment

    def test_not_in_answers_and_not_in_the_log(
        self, settings: Settings, secrets: frozenset[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        # urllib3 and httpcore of the test's own client log what it sends.
        said = []
        with ServedApp(create_app(settings)) as url, httpx.Client(base_url=url) as client:
            for path in ("/version", "/readyz", "/livez", "/metrics", "/v1/jobs", "/openapi.json", "/v1/problems"):
                for headers in ({}, {"Authorization": f"Bearer {self.KEY}"}):
                    answer = client.get(path, headers=headers)
                    said.append(f"{answer.headers} {answer.text}")
            answer = client.post("/v1/jobs", files=VIDEO, headers={"Authorization": f"Bearer {self.KEY}"})
            assert answer.status_code == 503
            said.append(answer.text)
        said += [JsonLine().format(entry) for entry in caplog.records if not entry.name.startswith("httpcore")]
        for text in said:
            assert without_secrets(text, secrets | {self.KEY}) == text

    def test_not_in_errors(self, settings: Settings, secrets: frozenset[str]) -> None:
        errors: list[BaseException] = []
        with pytest.raises(redis.RedisError) as caught:
            connect(settings).ping()
        errors += [caught.value, broker_problem(caught.value) or caught.value]
        with pytest.raises(DuettoError) as refused:
            connect(settings.model_copy(update={"redis_url": f"rediss:/:{self.MARK}@h"}))
        errors.append(refused.value)
        for error in errors:
            assert without_secrets(f"{error!r} {error}", secrets) == f"{error!r} {error}"

    def test_not_from_doctor(self, settings: Settings, secrets: frozenset[str]) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DUETTO_")}
        environment |= {k: v for k, v in worker_environment(settings).items() if k.startswith("DUETTO_")}
        for options in ([], ["--json"]):
            done = subprocess.run(
                [sys.executable, "-m", "app", "doctor", *options],
                env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 1, done.stderr
            assert "broker" in done.stdout
            assert without_secrets(done.stdout + done.stderr, secrets) == done.stdout + done.stderr
