"""External brokers: passwords, users, TLS, what they refuse, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import redis

from app.broker import broker_problem, broker_url, connect, shown_address
from app.broker_health import BrokerHealth
from app.errors import ConfigurationError
from app.jobs.lease import Leases
from app.jobs.states import JobState
from app.jobs.store import JobStore
from app.main import create_app
from app.queue import QUEUE_NAME, JobQueue
from app.settings import Settings
from tests.brokers import PASSWORD, PASSWORD_IN_URL, Broker, Certificates, await_answer, tls_program
from tests.conftest import ServedApp, leftovers
from tests.unit.test_app_api import VIDEO
from tests.unit.test_app_store import new_job

JOB_ID = "0" * 32
needs_tls = pytest.mark.skipif(
    tls_program() is None, reason="no redis-server or valkey-server with TLS on this machine (Debian: redis-server)"
)


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", offline=True)


def at(settings: Settings, url: str, **more: Path | None) -> Settings:
    return settings.model_copy(update={"redis_url": url, **more})


def check_usable(settings: Settings) -> None:
    """Both who talk to it get in: redis-py, and Celery on the sender's side."""
    with closing(connect(settings)) as client:
        await_answer(client)
        JobQueue(settings).enqueue(JOB_ID)
        assert client.llen(QUEUE_NAME) == 1


def test_a_password(tmp_path: Path, here: Settings) -> None:
    with Broker(tmp_path / "broker", f"requirepass {PASSWORD}") as broker:
        check_usable(at(here, broker.url(password=PASSWORD_IN_URL)))
        for url in (broker.url(), broker.url(password=PASSWORD_IN_URL[1:])):
            with ServedApp(create_app(at(here, url))) as api, httpx.Client(base_url=api) as client:
                answer = client.get("/readyz")
                assert answer.status_code == 503
                (part,) = answer.json()["errors"]
                assert part["field"] == "broker"
                assert "refuses the server's user or password" in part["message"]
                assert client.get("/v1/jobs").status_code == 503


def test_an_acl_user_with_no_more_rights_than_needed(tmp_path: Path, here: Settings) -> None:
    rules = f"user default off\nuser duetto on >{PASSWORD} ~* &* +@all -@dangerous +info"
    with Broker(tmp_path / "broker", rules) as broker:
        settings = at(here, broker.url(user="duetto", password=PASSWORD_IN_URL))
        check_usable(settings)
        with ServedApp(create_app(settings)) as api, httpx.Client(base_url=api) as client:
            assert client.get("/readyz").status_code == 200
            assert client.post("/v1/jobs", files=VIDEO).status_code == 202
            assert "duetto_broker_up 1.0" in client.get("/metrics").text


def test_a_user_without_the_right_to_write(tmp_path: Path, here: Settings) -> None:
    rules = "user default on nopass ~* &* +@read +@connection +info +time"
    with Broker(tmp_path / "broker", rules) as broker:
        settings = at(here, broker.url())
        with closing(connect(settings)) as client:
            await_answer(client)
        with ServedApp(create_app(settings)) as api, httpx.Client(base_url=api) as client:
            answer = client.post("/v1/jobs", files=VIDEO)
            assert (answer.status_code, answer.json()["code"]) == (503, "broker_unavailable")
            assert "takes no writes" in answer.json()["detail"]


@needs_tls
class TestTls:
    """A server that answers by TLS alone and asks for a certificate."""

    @pytest.fixture
    def certificates(self, tmp_path: Path) -> Certificates:
        return Certificates(tmp_path / "certificates")

    @pytest.fixture
    def broker(self, tmp_path: Path, certificates: Certificates) -> Iterator[Broker]:
        with Broker(tmp_path / "broker", f"requirepass {PASSWORD}", certificates=certificates) as running:
            yield running

    @pytest.fixture
    def settings(self, here: Settings, broker: Broker, certificates: Certificates) -> Settings:
        return at(
            here,
            broker.url("rediss", password=PASSWORD_IN_URL),
            redis_ca_file=certificates.ca,
            redis_cert_file=certificates.client_cert,
            redis_key_file=certificates.client_key,
        )

    def test_with_all_files(self, settings: Settings) -> None:
        check_usable(settings)

    def test_one_signed_by_a_stranger(self, settings: Settings, certificates: Certificates) -> None:
        with closing(connect(settings)) as client:
            await_answer(client)
        wrong = settings.model_copy(update={"redis_ca_file": certificates.other_ca})
        with closing(connect(wrong)) as client, pytest.raises(redis.ConnectionError, match=r"(?i)certificate"):
            client.ping()
        with pytest.raises(Exception, match="cannot be reached"):
            JobQueue(wrong).enqueue(JOB_ID)

    def test_one_for_another_name(self, settings: Settings) -> None:
        with closing(connect(settings)) as client:
            await_answer(client)
        other = at(settings, str(settings.redis_url).replace("127.0.0.1", "localhost"))
        with closing(connect(other)) as client, pytest.raises(redis.ConnectionError, match=r"(?i)hostname mismatch"):
            client.ping()

    def test_without_our_certificate(self, settings: Settings) -> None:
        with closing(connect(settings)) as client:
            await_answer(client)
        bare = settings.model_copy(update={"redis_cert_file": None, "redis_key_file": None})
        with closing(connect(bare)) as client, pytest.raises(redis.ConnectionError):
            client.ping()


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://localhost", "redis://", "redis://h:port/0", "redis://h:99999", "unix:///x"]
)
def test_an_address_that_is_none(here: Settings, url: str) -> None:
    with pytest.raises(ConfigurationError, match="wanted redis://HOST"):
        connect(at(here, url))


def test_a_mistaken_address_does_not_show_its_password(here: Settings) -> None:
    with pytest.raises(ConfigurationError) as caught:
        broker_url(at(here, "http://:hunter2@h"))
    assert "hunter2" not in str(caught.value)
    assert shown_address(at(here, "rediss://user:hunter2@[::1]/3")) == "[::1]:6379/3"


def test_settings_of_tls_that_contradict_each_other(here: Settings, tmp_path: Path) -> None:
    there = tmp_path / "there.pem"
    there.write_text("")
    for url, files, said in (
        ("redis://h", {"redis_ca_file": there}, "write rediss://"),
        ("rediss://h", {"redis_key_file": there}, "DUETTO_REDIS_CERT_FILE, which is not set"),
        ("rediss://h", {"redis_ca_file": tmp_path / "not"}, "DUETTO_REDIS_CA_FILE names .* no file"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            connect(at(here, url, **files))


def test_what_can_lose_jobs_is_told(tmp_path: Path, here: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with Broker(tmp_path / "broker", "maxmemory 64mb", "maxmemory-policy allkeys-lru") as broker:
        settings = at(here, broker.url())
        with closing(connect(settings)) as client:
            await_answer(client)
            client.config_set("appendonly", "no")
            health = BrokerHealth.look(client)
        with ServedApp(create_app(settings)) as api, httpx.Client(base_url=api) as web:
            ready = web.get("/readyz")
    assert (health.name, health.memory_limit, health.append_only) == ("Valkey", 64 << 20, False)
    assert health.memory_used > 0
    assert abs(health.clock_ahead_s) < 1.0
    assert ready.status_code == 200
    for told in (ready.json()["warnings"], health.warnings(), [record.message for record in caplog.records]):
        assert any("maxmemory-policy noeviction" in line for line in told)
        assert any("appendonly yes" in line for line in told)


def test_a_replica_is_told(tmp_path: Path, here: Settings) -> None:
    with Broker(tmp_path / "broker", "replicaof 127.0.0.1 1") as broker:
        settings = at(here, broker.url())
        with closing(connect(settings)) as client:
            await_answer(client)
            assert any("address of its primary" in line for line in BrokerHealth.look(client).warnings())
            with pytest.raises(redis.ReadOnlyError) as caught:
                client.set("a", "b")
        assert broker_problem(caught.value) is not None


class TestMemoryFull:
    """A broker that has reached `maxmemory` and evicts nothing."""

    @pytest.fixture
    def settings(self, tmp_path: Path, here: Settings) -> Iterator[Settings]:
        with Broker(tmp_path / "broker", "maxmemory-policy noeviction") as broker:
            yield at(here, broker.url())

    @pytest.fixture
    def redis_client(self, settings: Settings) -> Iterator[redis.Redis]:
        with closing(connect(settings)) as client:
            yield client

    @pytest.fixture
    def client(self, settings: Settings, redis_client: redis.Redis) -> Iterator[httpx.Client]:
        await_answer(redis_client)
        with ServedApp(create_app(settings)) as url, httpx.Client(base_url=url, timeout=60) as session:
            yield session

    @pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "one"}])
    def test_a_job_is_refused_and_leaves_nothing(
        self, client: httpx.Client, redis_client: redis.Redis, settings: Settings, headers: dict[str, str]
    ) -> None:
        redis_client.config_set("maxmemory", "1")
        answer = client.post("/v1/jobs", files=VIDEO, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "broker_full")
        assert int(answer.headers["Retry-After"]) > 0
        assert "maxmemory" in answer.json()["detail"]
        assert [path for path in settings.data_dir.rglob("*") if path.is_file()] == []
        assert leftovers(redis_client) == []
        assert client.get("/v1/jobs").json()["jobs"] == []
        assert any("new jobs are refused" in line for line in client.get("/readyz").json()["warnings"])
        redis_client.config_set("maxmemory", "0")
        assert client.post("/v1/jobs", files=VIDEO, headers=headers).status_code == 202

    def test_some_is_kept_for_the_jobs_that_there_are(self, client: httpx.Client, redis_client: redis.Redis) -> None:
        assert client.post("/v1/jobs", files=VIDEO).status_code == 202
        used = redis_client.info("memory")["used_memory"]
        redis_client.config_set("maxmemory", str(int(used / 0.96)))
        answer = client.post("/v1/jobs", files=VIDEO)
        assert (answer.status_code, answer.json()["code"]) == (503, "broker_full")
        redis_client.set("what a worker writes", "is taken")
        redis_client.config_set("maxmemory", str(2 * used))
        assert client.post("/v1/jobs", files=VIDEO).status_code == 202

    def test_a_message_that_is_refused_takes_its_job_along(
        self, client: httpx.Client, redis_client: redis.Redis, settings: Settings
    ) -> None:
        # Memory that fills between the record and its message, by a command that is refused in any case.
        redis_client.execute_command("ACL", "SETUSER", "default", "-lpush")
        answer = client.post("/v1/jobs", files=VIDEO)
        assert answer.status_code == 503
        assert [path for path in settings.data_dir.rglob("*") if path.is_file()] == []
        assert leftovers(redis_client) == []

    def test_what_runs_goes_on_and_ends(self, client: httpx.Client, redis_client: redis.Redis) -> None:
        store, leases = JobStore(redis_client), Leases(redis_client)
        running, ending, waiting, old = (new_job() for _ in range(4))
        for job in (running, ending, waiting, old):
            store.create(job)
        for job in (running, ending, old):
            store.start(job.id)
        store.succeed(old.id)
        redis_client.config_set("maxmemory", "1")
        assert leases.beat(running.id, 1), "a heartbeat that is refused would cost a living attempt its job"
        assert client.post(f"/v1/jobs/{running.id}/cancel").status_code == 200
        assert client.post(f"/v1/jobs/{waiting.id}/cancel").json()["state"] == "canceled"
        assert store.succeed(ending.id, attempt=1).state is JobState.SUCCEEDED
        assert store.cancel(running.id, attempt=1).state is JobState.CANCELED
        assert store.expire(old.id).state is JobState.EXPIRED
        assert client.delete(f"/v1/jobs/{old.id}").status_code == 204
        assert client.get(f"/v1/jobs/{ending.id}").json()["state"] == "succeeded"
