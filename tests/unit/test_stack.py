"""The pieces that `duetto serve` puts together, without the worker's models."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from pathlib import Path

import pytest

from app.commands import serve
from app.errors import ConfigurationError
from app.settings import Settings
from app.stack import BrokerUnreachable, PortInUse, backstage, listen, url_of, worker_environment


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_args(given)


def test_port_in_use_says_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"port {port}: Address already in use.*--port"):
            listen("127.0.0.1", port)


def test_serve_ends_before_it_starts_anything_if_the_port_is_taken(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as other:
        port = str(other.getsockname()[1])
        with pytest.raises(PortInUse):
            serve.run(arguments("--port", port, "--data", str(tmp_path / "data")))
    assert not (tmp_path / "data").exists()


def test_host_that_is_not_ours() -> None:
    with pytest.raises(PortInUse, match="no address of this machine"):
        listen("no-such-host.invalid", 0)


def test_answers_do_not_wait_for_acknowledgements() -> None:
    async def accepted_without_delay() -> int:
        seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_link(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            seen.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listen("127.0.0.1", 0) as listener:
            async with await asyncio.start_server(on_link, sock=listener):
                _, writer = await asyncio.open_connection(*listener.getsockname())
                found = await seen
                writer.close()
                await writer.wait_closed()
        return found

    assert asyncio.run(accepted_without_delay()) != 0


def test_port_zero_takes_a_free_port_and_the_url_says_which() -> None:
    with listen("0.0.0.0", 0) as listener:  # noqa: S104 - the case under test
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_options_override_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DUETTO_PORT", "1234")
    monkeypatch.setenv("DUETTO_WORKERS", "5")
    settings = serve.settings_from(arguments("--workers", "2", "--data", str(tmp_path)))
    assert (settings.port, settings.workers, settings.data_dir) == (1234, 2, tmp_path)


def test_settings_that_cannot_be_used_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETTO_LOG_LEVEL", "loud")
    with pytest.raises(ConfigurationError) as caught:
        serve.settings_from(arguments("--workers", "0"))
    assert "--workers: input should be greater than 0, not 0" in str(caught.value)
    assert "DUETTO_LOG_LEVEL: input should be" in str(caught.value)


def test_worker_environment_spells_out_every_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUETTO_THREADS", "7")
    settings = Settings(
        data_dir=Path("data"), densenet161_weights=Path("w.pth"), redis_url="redis://h/0", threads=3, workers=2
    )
    environment = worker_environment(settings)
    assert environment["DUETTO_DATA_DIR"] == str(tmp_path / "data")
    assert environment["DUETTO_DENSENET161_WEIGHTS"] == str(tmp_path / "w.pth")
    assert environment["DUETTO_REDIS_URL"] == "redis://h/0"
    assert environment["DUETTO_WORKERS"] == "2"
    assert {environment[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS")} == {"3"}
    assert environment["REMAP_SIGTERM"] == "SIGQUIT"
    # What the worker reads from it is what this process has.
    for name in [name for name in os.environ if name.startswith("DUETTO_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        if name.startswith("DUETTO_"):
            monkeypatch.setenv(name, value)
    there = Settings()
    absolute = {"data_dir": tmp_path / "data", "densenet161_weights": tmp_path / "w.pth"}
    assert there == settings.model_copy(update=absolute | {"cache_dir": settings.cache_dir.resolve()})


def test_a_redis_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    settings = Settings(redis_url="redis://:hunter2@127.0.0.1:1/0", data_dir=tmp_path / "data")
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1/0") as caught, backstage(settings):
        pass
    assert "hunter2" not in str(caught.value)
    assert not (tmp_path / "data").exists()
