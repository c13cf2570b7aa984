"""The deployment files: what the containers may do, and that they name things that exist."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.queue import QUEUES, SOFT_SHUTDOWN_TIMEOUT_S
from app.settings import Settings

ROOT = Path(__file__).parents[2]
SERVICES = ("redis", "api", "worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def compose_client() -> list[str] | None:
    for client in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(client[0]) and _run([*client, "version"]).returncode == 0:
            return client
    return None


def test_compose_s_own_client_accepts_the_file() -> None:
    client = compose_client()
    if client is None:
        pytest.skip("neither `docker compose` nor `docker-compose` is on this machine")
    done = _run([*client, "config", "-q"])
    assert done.returncode == 0, done.stderr


def test_the_services_are_these(compose: dict[str, Any]) -> None:
    assert sorted(compose["services"]) == sorted(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert any(mount.startswith("/tmp:") and "size=" in mount for mount in service["tmpfs"])  # noqa: S108
    user, _, group = service["user"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["pids_limit"] > 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check(compose: dict[str, Any], name: str) -> None:
    check = compose["services"][name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert len(check["test"]) > 1
    assert {"interval", "timeout", "retries"} <= check.keys()


def test_the_queue_is_kept_on_disk_and_never_evicted(compose: dict[str, Any]) -> None:
    redis = compose["services"]["redis"]
    command = redis["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--appendfsync") + 1] == "always"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    # Full for itself before it is for its container, with room for the fork that rewrites the append-only file.
    most, limit = command[command.index("--maxmemory") + 1], redis["deploy"]["resources"]["limits"]["memory"]
    assert (most[-2:], limit[-1]) == ("mb", "M")
    assert int(most[:-2]) <= 0.7 * int(limit[:-1])
    assert "queue:/data" in redis["volumes"]
    assert compose["networks"]["backstage"]["internal"] is True
    assert redis["networks"] == ["backstage"]
    assert "ports" not in redis


def defines(module: str, name: str) -> bool:
    """Whether `module` defines `name` at its top, told from its source: importing the worker loads torch."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return False
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return True
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return True
    return False


@pytest.mark.parametrize(("service", "where"), [("api", "app.main:create_app"), ("worker", "worker.celery:celery_app")])
def test_a_command_names_what_exists(compose: dict[str, Any], service: str, where: str) -> None:
    assert where in compose["services"][service]["command"]
    assert defines(*where.split(":"))


def test_the_worker_s_health_check_asks_the_same_application(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert f"-A {worker['command'][worker['command'].index('-A') + 1]} " in worker["healthcheck"]["test"][1]


@pytest.mark.parametrize("name", ["api", "worker"])
def test_every_setting_in_the_environment_exists(compose: dict[str, Any], name: str) -> None:
    given = compose["services"][name]["environment"]
    ours = {key.removeprefix("DUETTO_").lower() for key in given if key.startswith("DUETTO_")}
    assert {"redis_url", "data_dir", "workers"} <= ours
    assert ours <= Settings.model_fields.keys()


def test_the_workers_take_from_every_queue_unless_told_otherwise(compose: dict[str, Any]) -> None:
    command = compose["services"]["worker"]["command"]
    assert command[command.index("--queues") + 1] == f"${{DUETTO_QUEUES:-{','.join(QUEUES)}}}"
    # The API sends them, so it must know.
    assert "DUETTO_GPU_JOBS" in compose["services"]["api"]["environment"]


def test_api_and_worker_share_the_data(compose: dict[str, Any]) -> None:
    for name in ("api", "worker"):
        service = compose["services"][name]
        assert f"data:{service['environment']['DUETTO_DATA_DIR']}" in service["volumes"]
    worker = compose["services"]["worker"]
    assert f"weights:{worker['environment']['DUETTO_CACHE_DIR']}" in worker["volumes"]


def test_a_stopped_worker_has_time_to_hand_its_jobs_back(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    grace = re.fullmatch(r"(\d+)s", worker["stop_grace_period"])
    assert grace is not None
    assert int(grace[1]) > SOFT_SHUTDOWN_TIMEOUT_S
    assert worker["environment"]["REMAP_SIGTERM"] == "SIGQUIT"


def test_the_api_is_published_on_loopback_only(compose: dict[str, Any]) -> None:
    (port,) = compose["services"]["api"]["ports"]
    assert ":-127.0.0.1:8000}:8000" in port


def test_the_image_runs_as_the_user_that_compose_names(compose: dict[str, Any], dockerfile: str) -> None:
    users = re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)
    assert users[-1] == compose["services"]["api"]["user"] == compose["services"]["worker"]["user"]
    assert f"--uid {users[-1].split(':')[0]} " in dockerfile


def test_the_cpu_build_of_torch_is_by_argument_and_names_no_host(compose: dict[str, Any], dockerfile: str) -> None:
    assert 'ARG TORCH_INDEX_URL=""' in dockerfile
    assert "TORCH_INDEX_URL" in compose["services"]["api"]["build"]["args"]
    assert "://" not in dockerfile


def test_all_that_the_image_is_built_from_reaches_the_builder(dockerfile: str) -> None:
    let_through = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
        for source in sources.split()
    }
    assert copied == let_through
    assert [source for source in sorted(copied) if not (ROOT / source).exists()] == []
