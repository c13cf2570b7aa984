"""`duetto doctor`: what it finds right, what it finds wrong, and that it says what to do."""

from __future__ import annotations

import argparse
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.broker import connect
from app.commands import serve
from app.doctor.broker import check_broker, with_running_broker
from app.doctor.configuration import check_api, check_settings
from app.doctor.finding import Finding, Findings, Level
from app.doctor.storage import check_storage
from app.embedded import EmbeddedValkey, free_port, running_url
from app.main import create_app
from app.presence import About, Presence
from app.settings import Settings
from app.version import duetto_version
from tests.brokers import PASSWORD, Broker, await_answer
from tests.conftest import ServedApp
from worker.commands import doctor
from worker.doctor.models import check_models

WORKER = About(host="box", version=duetto_version(), slots=2)


@pytest.fixture
def calm(tmp_path: Path) -> Settings:
    """Settings that nothing is wrong with, and no broker."""
    return Settings(
        redis_url=None, data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", port=free_port(), workers=1, threads=1
    )


@pytest.fixture
def kept(tmp_path: Path, calm: Settings) -> Iterator[Settings]:
    """The same, with a broker as it should be."""
    with Broker(tmp_path / "broker", "maxmemory-policy noeviction") as broker:
        settings = calm.model_copy(update={"redis_url": broker.url()})
        with closing(connect(settings)) as client:
            await_answer(client)
        yield settings


def found(check: Callable[[Settings], Findings], settings: Settings, level: Level) -> str:
    """The texts of all findings of one level."""
    return "\n".join(finding.text for finding in check(settings) if finding.level is level)


def run_doctor(monkeypatch: pytest.MonkeyPatch, settings: Settings, *options: str) -> int:
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    monkeypatch.setattr(doctor, "settings_from", lambda _: settings)
    return doctor.run(parser.parse_args(options))


def test_a_service_that_is_well(
    kept: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(connect(kept)) as client:
        Presence(client).speak("duetto@box", WORKER)
    assert run_doctor(monkeypatch, kept, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["healthy"] is True
    assert document["version"] == duetto_version()
    parts = {finding["part"] for finding in document["findings"] if finding["level"] != "problem"}
    assert parts >= {
        "settings", "api", "broker", "clock", "workers", "storage", "disk", "models", "device", "media",
        "sandbox",
    }  # fmt: skip
    assert not kept.data_dir.exists(), "it looks, and leaves nothing"


def test_a_service_that_is_not(
    calm: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = (check_settings, check_broker)
    monkeypatch.setattr(doctor, "_checks", lambda: checks)
    broken = calm.model_copy(update={"redis_url": "redis://127.0.0.1:1/0", "host": "0.0.0.0"})  # noqa: S104
    assert run_doctor(monkeypatch, broken) == 1
    shown = capsys.readouterr().out
    assert shown.count("problem ") == 2
    assert "2 problems, 0 warnings, 0 ok." in shown


def test_a_check_that_fails_itself_hides_no_other(
    calm: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check_luck(_: Settings) -> Findings:
        yield Finding("luck", Level.OK, "so far")
        raise RuntimeError("no more")

    monkeypatch.setattr(doctor, "_checks", lambda: (check_luck, check_settings))
    assert run_doctor(monkeypatch, calm, "--json") == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [(finding["part"], finding["level"]) for finding in findings] == [
        ("luck", "ok"), ("luck", "problem"), ("settings", "ok"),
    ]  # fmt: skip
    assert "RuntimeError: no more" in findings[1]["text"]


def test_options_are_those_of_serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    args = parser.parse_args(["--data", str(tmp_path), "--port", "1234", "--redis-url", "redis://h"])
    settings = serve.settings_from(args)
    assert (settings.data_dir, settings.port, settings.redis_url) == (tmp_path, 1234, "redis://h")


class TestBroker:
    def test_no_workers(self, kept: Settings) -> None:
        assert "none has been heard of" in found(check_broker, kept, Level.PROBLEM)

    def test_a_silent_worker_and_one_of_another_version(self, kept: Settings) -> None:
        with closing(connect(kept)) as client:
            presence = Presence(client)
            for name, about in (("a@box", WORKER), ("b@box", WORKER.model_copy(update={"version": "0.0.1"}))):
                presence.speak(name, about)
            client.zincrby("duetto:workers", -60.0, "a@box")
        told = found(check_broker, kept, Level.WARNING)
        assert "a@box is silent since 60 s" in told
        assert "b@box runs Duetto 0.0.1" in told

    def test_a_queue_that_nobody_takes_from(self, kept: Settings) -> None:
        routed = kept.model_copy(update={"gpu_jobs": "densenet161"})
        with closing(connect(kept)) as client:
            presence = Presence(client)
            presence.speak("cpu@box", WORKER.model_copy(update={"queues": ("duetto",)}))
            assert "none takes from duetto-gpu, so its jobs wait" in found(check_broker, routed, Level.PROBLEM)
            assert found(check_broker, kept, Level.PROBLEM) == ""
            presence.speak("gpu@box", WORKER.model_copy(update={"queues": ("duetto-gpu",)}))
            assert found(check_broker, routed, Level.PROBLEM) == ""
            assert "gpu@box takes 2 jobs at a time from duetto-gpu" in found(check_broker, routed, Level.OK)
            presence.leave("cpu@box")
            assert "none takes from duetto, so" in found(check_broker, routed, Level.PROBLEM)

    def test_one_that_loses_jobs(self, kept: Settings) -> None:
        with closing(connect(kept)) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            client.config_set("appendonly", "no")
        assert "set `maxmemory-policy noeviction`" in found(check_broker, kept, Level.PROBLEM)
        assert "set `appendonly yes`" in found(check_broker, kept, Level.WARNING)

    def test_one_that_does_not_answer(self, calm: Settings) -> None:
        away = calm.model_copy(update={"redis_url": "redis://:hunter2@127.0.0.1:1/0"})
        told = found(check_broker, away, Level.PROBLEM)
        assert "127.0.0.1:1/0 does not answer" in told
        assert "hunter2" not in told

    def test_one_that_refuses_us(self, tmp_path: Path, calm: Settings) -> None:
        with Broker(tmp_path / "broker", f"requirepass {PASSWORD}") as broker:
            settings = calm.model_copy(update={"redis_url": broker.url()})
            with closing(connect(settings)) as client:
                await_answer(client)
            assert "refuses the user or password" in found(check_broker, settings, Level.PROBLEM)

    def test_tls_where_there_is_none(self, kept: Settings) -> None:
        there = str(kept.redis_url).replace("redis:", "rediss:")
        told = found(check_broker, kept.model_copy(update={"redis_url": there}), Level.PROBLEM)
        assert "it may want redis:// (without TLS)" in told

    def test_the_embedded_one(self, calm: Settings) -> None:
        assert running_url(calm.data_dir) is None
        assert "starts its own (Valkey" in found(check_broker, calm, Level.OK)
        with EmbeddedValkey(calm.data_dir) as broker:
            settings = with_running_broker(calm)
            assert settings.redis_url == broker.url
            assert "evicts nothing, writes its append-only file" in found(check_broker, settings, Level.OK)
        assert running_url(calm.data_dir) is None


class TestStorage:
    def test_a_folder_that_is_none(self, calm: Settings) -> None:
        calm.data_dir.write_text("in the way")
        assert "cannot be written" in found(check_storage, calm, Level.PROBLEM)

    def test_less_room_than_an_upload(self, calm: Settings) -> None:
        greedy = calm.model_copy(update={"max_upload_bytes": 1 << 60})
        assert "less than the largest upload" in found(check_storage, greedy, Level.PROBLEM)


class TestSettings:
    @pytest.mark.parametrize(
        ("given", "level", "told"),
        [
            ({"host": "0.0.0.0"}, Level.PROBLEM, "everyone who can reach this machine"),  # noqa: S104
            ({"api_keys": "a-key-and-no-entry"}, Level.PROBLEM, "DUETTO_API_KEYS, entry 1"),
            ({"workers": 1000}, Level.WARNING, "lower DUETTO_WORKERS or DUETTO_THREADS"),
            ({"max_queued_per_client": 20_000}, Level.WARNING, "DUETTO_MAX_QUEUED_PER_CLIENT is above"),
            ({"s3_endpoint": "http://127.0.0.1:1"}, Level.WARNING, "set DUETTO_STORAGE"),
            ({"cors_origins": "*"}, Level.WARNING, "name the origins"),
            ({"gpu_jobs": "tpu"}, Level.PROBLEM, "DUETTO_GPU_JOBS: no tagger or separator is called 'tpu'"),
        ],
    )
    def test_contradictions(self, calm: Settings, given: dict[str, object], level: Level, told: str) -> None:
        assert told in found(check_settings, calm.model_copy(update=given), level)
        assert found(check_settings, calm.model_copy(update=given), Level.OK) == ""

    def test_none(self, calm: Settings) -> None:
        assert "they fit together" in found(check_settings, calm, Level.OK)


class TestApi:
    def test_a_free_port(self, calm: Settings) -> None:
        assert "can start there" in found(check_api, calm, Level.OK)

    def test_somebody_else(self, calm: Settings) -> None:
        with socket.create_server(("127.0.0.1", calm.port)):
            assert "something else than Duetto" in found(check_api, calm, Level.PROBLEM)

    def test_duetto_ready_or_not(self, kept: Settings) -> None:
        with ServedApp(create_app(kept)) as url:
            there = kept.model_copy(update={"port": int(url.rpartition(":")[2])})
            assert "is ready" in found(check_api, there, Level.OK)
        away = kept.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
        with ServedApp(create_app(away)) as url:
            there = away.model_copy(update={"port": int(url.rpartition(":")[2])})
            assert "is not ready: the job queue cannot be reached" in found(check_api, there, Level.PROBLEM)


class TestModels:
    def test_weights_that_are_nowhere(self, calm: Settings) -> None:
        offline = calm.model_copy(update={"offline": True})
        assert "`auto` takes another" in found(check_models, offline, Level.WARNING)
        wanted = offline.model_copy(update={"tagger": "densenet161"})
        assert "densenet161 is DUETTO_TAGGER" in found(check_models, wanted, Level.PROBLEM)
        named = calm.model_copy(update={"densenet161_weights": calm.data_dir / "no.pth"})
        assert "DUETTO_DENSENET161_WEIGHTS names" in found(check_models, named, Level.PROBLEM)

    def test_a_download_that_is_damaged(self, calm: Settings) -> None:
        cached = calm.cache_dir / "weights" / "densenet161-8d451a50.pth"
        cached.parent.mkdir(parents=True)
        cached.write_bytes(b"half of it")
        assert "is damaged: remove it" in found(check_models, calm, Level.PROBLEM)
