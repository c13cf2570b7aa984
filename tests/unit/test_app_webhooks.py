"""`webhook_url` over HTTP: who may give one, how it is shown, and what is refused."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import httpx
import pytest
import redis
from pydantic import SecretStr

from app.commands import webhook_secret
from app.errors import ConfigurationError
from app.jobs.record import Delivery
from app.jobs.store import JobStore
from app.main import create_app
from app.settings import Settings, get_settings
from app.stack import worker_environment
from app.webhooks.message import WebhookMessage
from app.webhooks.outbox import Outbox
from app.webhooks.signature import make_secret, parse_secrets
from tests.conftest import ServedApp
from tests.unit.test_app_api import VIDEO
from tests.unit.test_app_bad_input import assert_nothing_left, problem
from tests.unit.webhook_receiver import SECRET

URL = "https://music.example/hooks?token=hush"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_secret": SecretStr(SECRET)})


def send(client: httpx.Client, url: str) -> httpx.Response:
    return client.post("/v1/jobs", files=VIDEO, data={"webhook_url": url})


def test_a_job_with_a_webhook(client: httpx.Client, store: JobStore, redis_client: redis.Redis) -> None:
    accepted = send(client, URL)
    assert accepted.status_code == 202
    job = accepted.json()
    assert job["webhook"] == {
        "state": "pending", "attempts": 0, "last_status": None, "last_error": None, "next_attempt_at": None,
    }  # fmt: skip
    assert store.get(job["id"]).webhook_url == URL
    assert Outbox(redis_client).count() == 0
    canceled = client.post(job["links"]["cancel"]).json()
    assert canceled["webhook"]["next_attempt_at"] == canceled["finished_at"]
    assert Outbox(redis_client).count() == 1
    for path in (job["links"]["self"], "/v1/jobs"):
        assert "hush" not in client.get(path).text, "the token in it is between the user and the receiver"
    assert client.delete(job["links"]["self"]).status_code == 204
    assert Outbox(redis_client).count() == 0


def test_how_it_stands_changes_the_etag(client: httpx.Client, redis_client: redis.Redis) -> None:
    job = send(client, URL).json()
    client.post(job["links"]["cancel"])
    tag = client.get(job["links"]["self"]).headers["ETag"]
    outbox = Outbox(redis_client)
    (claim,) = outbox.claim(10)
    assert outbox.claim(10) == []
    assert client.get(job["links"]["self"], headers={"If-None-Match": tag}).status_code == 304
    assert outbox.settle(claim, Delivery(state="delivered", attempts=1, last_status=200))
    changed = client.get(job["links"]["self"], headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["webhook"]["state"]) == (200, "delivered")
    assert not outbox.settle(claim, Delivery()), "settled once"


def test_a_job_without_one(client: httpx.Client) -> None:
    assert send(client, "  ").json()["webhook"] is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("music.example", "wanted is an address such as https://"),
        ("http://192.168.1.1:6379/", "private network or of this machine"),
        ("http://[::ffff:10.0.0.1]/", "private network"),
        ("https://u:p@music.example/", "password"),
        ("https://music.example/" + "a" * 990, "at most 1000"),
    ],
)
def test_one_that_cannot_be_used(
    client: httpx.Client, settings: Settings, redis_client: redis.Redis, url: str, said: str
) -> None:
    assert said in problem(send(client, url), 422, "unusable_webhook")["detail"]
    assert_nothing_left(settings.data_dir, redis_client)


def test_one_that_is_far_too_long(client: httpx.Client, settings: Settings, redis_client: redis.Redis) -> None:
    refused = problem(send(client, "https://music.example/" + "a" * 5000), 422, "unknown_field")
    assert "1024 bytes" in refused["detail"]
    assert_nothing_left(settings.data_dir, redis_client)


def test_the_operator_may_allow_an_intranet(settings: Settings, redis_client: redis.Redis) -> None:
    app = create_app(settings.model_copy(update={"webhook_allow_private": "10.0.0.0/8"}))
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        assert send(client, "http://10.0.0.1/hook").status_code == 202
        problem(send(client, "http://192.168.1.1/hook"), 422, "unusable_webhook")


def test_without_a_secret_none_is_taken(settings: Settings, redis_client: redis.Redis) -> None:
    app = create_app(settings.model_copy(update={"webhook_secret": None}))
    with ServedApp(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        assert "DUETTO_WEBHOOK_SECRET" in problem(send(client, URL), 422, "webhooks_disabled")["detail"]
        assert_nothing_left(settings.data_dir, redis_client)
        assert send(client, "").status_code == 202


@pytest.mark.parametrize("wrong", [{"webhook_secret": SecretStr("hunter2")}, {"webhook_allow_private": "intranet"}])
def test_settings_that_cannot_be_read_stop_the_start(settings: Settings, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="DUETTO_WEBHOOK_") as caught:
        create_app(settings.model_copy(update=wrong))
    assert "hunter2" not in str(caught.value)


def test_the_secret_reaches_the_worker_and_no_log(settings: Settings) -> None:
    assert worker_environment(settings)["DUETTO_WEBHOOK_SECRET"] == SECRET
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., list[str]]]:
    """Runs `duetto webhook-secret`; gives what it prints to stdout."""
    get_settings.cache_clear()

    def run(*arguments: str) -> list[str]:
        parser = argparse.ArgumentParser()
        webhook_secret.add_arguments(parser)
        assert webhook_secret.run(parser.parse_args(arguments)) == 0
        return capsys.readouterr().out.split()

    yield run
    get_settings.cache_clear()


def test_the_command_makes_secrets_that_are_taken(command: Callable[..., list[str]]) -> None:
    secrets = command() + command()
    assert len(set(secrets)) == 2
    assert [len(key) for key in parse_secrets(SecretStr(" ".join(secrets)))] == [32, 32]


def test_the_command_shows_an_owner_their_own(
    command: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="DUETTO_WEBHOOK_SECRET"):
        command("alice")
    get_settings.cache_clear()
    monkeypatch.setenv("DUETTO_WEBHOOK_SECRET", f"{make_secret()} {SECRET}")
    alice, bob = command("alice"), command("bob")
    assert len({*alice, *bob, SECRET}) == 5
    assert command("alice") == alice
    assert len(parse_secrets(SecretStr(" ".join(alice)))) == 2


def test_the_messages_are_in_the_description(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    body = document["webhooks"]["job-ended"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/WebhookMessage"}
    assert set(document["components"]["schemas"]["WebhookMessage"]["properties"]) == set(WebhookMessage.model_fields)
