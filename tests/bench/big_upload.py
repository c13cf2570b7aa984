"""The memory of the web process while it takes one large upload: ``python -m tests.bench.big_upload [--mib N]``."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from app.embedded import EmbeddedValkey
from app.settings import MIB, Settings
from tests.bench.api_process import ApiProcess, running_api
from tests.fuzz import forms
from tests.fuzz.hostile_sound import riff
from tests.fuzz.service import resident_mib

DEFAULT_MIB = 2048
SAMPLE_EVERY_S = 0.1
STEPS = 8  # lines of the table
END = b"\r\n--" + forms.BOUNDARY.encode() + b"--\r\n"


class ResidentMemory:
    """Samples a process's resident memory until it is left. A context manager."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples_mib = [resident_mib(pid)]

    def __enter__(self) -> ResidentMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(SAMPLE_EVERY_S):
            self.samples_mib.append(resident_mib(self._pid))


def opening() -> bytes:
    """The beginning of the form, up to the sound of its file."""
    names = [forms.field_part("left", "violin"), forms.field_part("right", "cello")]
    file = forms.part('form-data; name="audio"; filename="long.wav"', riff(b"", data_size=0xFFFFFFF0))
    return forms.form([*names, file])[: -len(END)]


def upload(api: ApiProcess, mib: int) -> Iterator[tuple[int, float]]:
    """Send `mib` MiB as one recording; yield how many have been sent and the memory then, `STEPS` times."""
    parts = urlsplit(api.url)
    head, block = opening(), bytes(MIB)
    link = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=600)
    link.putrequest("POST", "/v1/jobs")
    link.putheader("Content-Type", f"multipart/form-data; boundary={forms.BOUNDARY}")
    link.putheader("Content-Length", str(len(head) + mib * MIB + len(END)))
    link.endheaders(head)
    for sent in range(1, mib + 1):
        link.send(block)
        if sent % max(1, mib // STEPS) == 0:
            yield sent, resident_mib(api.pid)
    link.send(END)
    answer = link.getresponse()
    document = json.loads(answer.read())
    assert answer.status == 202, document
    link.request("DELETE", document["links"]["self"])
    assert link.getresponse().status == 204
    link.close()


def main() -> int:
    """Run; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.big_upload")
    parser.add_argument("--mib", type=int, default=DEFAULT_MIB)
    mib: int = parser.parse_args().mib
    with tempfile.TemporaryDirectory(prefix="duetto-upload-") as folder, contextlib.ExitStack() as stack:
        data = Path(folder)
        broker = stack.enter_context(EmbeddedValkey(data))
        limit = (mib + 1) * MIB
        settings = Settings(
            data_dir=data, cache_dir=data / "cache", redis_url=broker.url, max_upload_bytes=limit, log_level="warning"
        )
        api = stack.enter_context(running_api(settings))
        for _ in upload(api, 1):
            pass  # what is loaded with the first upload is no growth
        memory = stack.enter_context(ResidentMemory(api.pid))
        began = time.monotonic()
        print("| MiB sent | MiB resident in the web process |\n|---|---|")
        print(f"| 0 | {resident_mib(api.pid):.0f} |")
        for sent, resident in upload(api, mib):
            print(f"| {sent:,} | {resident:.0f} |", flush=True)
        seconds = time.monotonic() - began
        most, least = max(memory.samples_mib), min(memory.samples_mib)
    print(f"\n{mib:,} MiB in {seconds:.0f} s ({mib / seconds:.0f} MiB/s); ", end="")
    print(f"resident {least:.0f} to {most:.0f} MiB, {len(memory.samples_mib)} samples")
    return 0


if __name__ == "__main__":
    sys.exit(main())
