"""A server that speaks S3, for tests: moto's, in a process of its own on a free port of loopback.

It keeps objects in memory, honours `If-None-Match: *` and, asked to, checks signatures. What lies in it is looked at
over HTTP without the library that is tested.
"""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr

from app.settings import Settings

# One request at a time: of two conditional writes S3 takes one, while moto looks first and writes then.
_PROGRAM = """
import sys, threading
import moto.backends
from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
# It lists its own folder at each request.
modules = tuple(moto.backends.list_of_moto_modules())
moto.backends.list_of_moto_modules = lambda: modules
app, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()
def one_at_a_time(environ, start_response):
    with lock:
        return app(environ, start_response)
server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
iam.create_user("eu-central-1", "duetto")
allowed = '{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}'
iam.put_user_policy("duetto", "all", '{"Version": "2012-10-17", "Statement": [' + allowed + ']}')
key = iam.create_access_key("duetto")
print(f"{server.host}:{server.port}", key.access_key_id, key.secret_access_key, flush=True)
sys.stdin.read()
"""


class S3Server:
    """The server; ready on entering, gone on leaving."""

    def __enter__(self) -> Self:
        # -W: its libraries' warnings are not ours.
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        address, self.key_id, self.secret = self._process.stdout.readline().split()
        self.url = f"http://{address}"
        self._http = httpx.Client(base_url=self.url, trust_env=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        with self._process as process:
            process.terminate()

    def make_bucket(self) -> str:
        """Make a bucket and return its name."""
        name = f"duetto-{uuid.uuid4().hex}"
        assert self._http.put(f"/{name}").status_code == 200
        return name

    def settings(self, bucket: str, data_dir: Path, **more: Any) -> Settings:
        """Return settings by which files go to `bucket`, below a prefix."""
        return Settings(
            data_dir=data_dir,
            storage=f"s3://{bucket}/some/prefix",
            s3_endpoint=self.url,
            s3_region="eu-central-1",
            s3_access_key_id=self.key_id,
            s3_secret_access_key=SecretStr(self.secret),
            **more,
        )

    def keys(self, settings: Settings) -> list[str]:
        """Return the keys of all objects of the settings' bucket, without the prefix."""
        bucket = str(settings.storage).split("/")[2]
        keys: list[str] = []
        token: list[str] = []
        while True:
            query = {"list-type": "2"} | ({"continuation-token": token[0]} if token else {})
            answer = self._http.get(f"/{bucket}", params=query)
            assert answer.status_code == 200
            keys += re.findall(r"<Key>some/prefix/([^<]*)</Key>", answer.text)
            token = re.findall(r"<NextContinuationToken>([^<]*)<", answer.text)
            if not token:
                return keys

    def unfinished(self, settings: Settings) -> int:
        """Return the number of multipart uploads that have not been completed."""
        bucket = str(settings.storage).split("/")[2]
        return self._http.get(f"/{bucket}?uploads").text.count("<UploadId>")

    def ask_for_keys(self) -> None:
        """From now on, answer only requests that are signed with the server's own key."""
        assert self._http.post("/moto-api/reset-auth", content=b"0").status_code == 200
