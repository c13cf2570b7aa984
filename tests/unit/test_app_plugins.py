"""Separators and taggers that only workers have: the API takes their names on the workers' word, and lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from app.jobs.store import JobStore
from app.main import create_app
from app.methods import AUTO, BUILT_IN, Kind
from app.plugins import installed
from app.presence import FORGOTTEN_AFTER_S, WORKERS_KEY, About, Added, Presence, added_here
from app.settings import Settings
from app.version import duetto_version
from tests.conftest import ServedApp
from tests.packages import SEPARATOR, install
from tests.unit.test_app_api import VIDEO

QUARTER = Added(kind=Kind.SEPARATOR, name="quarter", package="their-package", version="1.0")
EIGHTH = Added(kind=Kind.TAGGER, name="eighth", package="their-package", version="1.0")
WORKER = About(host="box", version=duetto_version(), slots=1, queues=("duetto",), added=(QUARTER, EIGHTH))
PLAIN = WORKER.model_copy(update={"added": ()})


@pytest.fixture
def presence(redis_client: redis.Redis) -> Presence:
    return Presence(redis_client)


def listed(client: httpx.Client, kind: str) -> list[tuple[str, str]]:
    answer = client.get("/v1/methods")
    assert answer.status_code == 200, answer.text
    return [(method["name"], f"{method['package']} {method['version']}") for method in answer.json()[kind]]


def refusal(client: httpx.Client, **options: str) -> str:
    answer = client.post("/v1/jobs", files=VIDEO, data=options)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_option"), answer.text
    return str(answer.json()["detail"])


def test_a_worker_that_has_it_is_enough(client: httpx.Client, presence: Presence, store: JobStore) -> None:
    assert "`separator`: there is no 'quarter'; it is one of auto, " in refusal(client, separator="quarter")
    presence.speak("plain@box", PLAIN)
    presence.speak("full@box", WORKER)
    answer = client.post("/v1/jobs", files=VIDEO, data={"separator": "quarter", "tagger": "eighth"})
    assert answer.status_code == 202, answer.text
    assert {"separator": "quarter", "tagger": "eighth"}.items() <= answer.json()["options"].items()
    options = store.get(answer.json()["id"]).options
    assert (options.separator, options.tagger) == ("quarter", "eighth")
    # Each is what it is and no other.
    assert "`separator`: there is no 'eighth'" in refusal(client, separator="eighth")
    assert ", quarter" in refusal(client, separator="fifth")
    assert ", eighth" in refusal(client, tagger="quarter")


def test_a_worker_that_starts_anew_is_waited_for_and_one_that_is_gone_is_not(
    client: httpx.Client, presence: Presence, redis_client: redis.Redis
) -> None:
    presence.speak("full@box", WORKER)
    redis_client.zincrby(WORKERS_KEY, 60.0 - FORGOTTEN_AFTER_S, "full@box")
    assert client.post("/v1/jobs", files=VIDEO, data={"separator": "quarter"}).status_code == 202
    redis_client.zincrby(WORKERS_KEY, -61.0, "full@box")
    presence.speak("plain@box", PLAIN)
    assert "there is no 'quarter'" in refusal(client, separator="quarter")


def test_the_list_says_whose_each_is(client: httpx.Client, presence: Presence) -> None:
    ours = f"duetto {duetto_version()}"
    own = {kind: [(name, ours) for name in BUILT_IN[kind] if name != AUTO] for kind in Kind}
    assert listed(client, "separators") == own[Kind.SEPARATOR]
    assert listed(client, "taggers") == own[Kind.TAGGER]
    presence.speak("full@box", WORKER)
    presence.speak("new@box", WORKER.model_copy(update={"added": (QUARTER.model_copy(update={"version": "1.1"}),)}))
    both = [("quarter", "their-package 1.0"), ("quarter", "their-package 1.1")]
    assert listed(client, "separators") == own[Kind.SEPARATOR] + both
    assert listed(client, "taggers") == [*own[Kind.TAGGER], ("eighth", "their-package 1.0")]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A separator `quarter` that is installed beside this process, and cannot be imported."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    install(folder, "their-package", f"raise SystemExit\n{SEPARATOR}", separators="quarter")
    monkeypatch.syspath_prepend(folder)
    installed.cache_clear()
    yield
    installed.cache_clear()


@pytest.mark.usefixtures("plugin")
def test_one_beside_the_api_needs_no_worker_yet(settings: Settings, redis_client: redis.Redis) -> None:
    routed = settings.model_copy(update={"gpu_jobs": "quarter"})
    with ServedApp(create_app(routed)) as url, httpx.Client(base_url=url, timeout=60.0) as client:
        answer = client.post("/v1/jobs", files=VIDEO, data={"separator": "quarter"})
        assert answer.status_code == 202, answer.text
        assert ("quarter", "their-package 1.0") in listed(client, "separators")
    assert redis_client.llen("duetto-gpu") == 1
    assert added_here() == (QUARTER,)


def test_without_a_broker_there_is_no_list(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with ServedApp(create_app(away)) as url:
        answer = httpx.get(f"{url}/v1/methods")
    assert (answer.status_code, answer.json()["code"]) == (503, "broker_unavailable")
