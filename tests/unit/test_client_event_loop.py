"""The clients and event loops: what the asynchronous one owes to its loop, and the other one beside somebody else's."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

import duetto
from app.jobs.store import JobStore
from duetto._form import Form
from duetto._partial import PartialFile
from tests.unit.client_service import FILES, Done, done, meddler, url, video

__all__ = ["done", "meddler", "url", "video"]


def test_a_canceled_task_cancels_its_job(url: str, video: Path, store: JobStore) -> None:
    async def main() -> None:
        waits = asyncio.Event()

        async def watch(now: duetto.Progress) -> None:
            await asyncio.sleep(0)
            if now.stage == "queued":
                waits.set()

        async with duetto.AsyncClient(url) as client:
            task = asyncio.create_task(client.separate(video, on_progress=watch))
            await waits.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert [job.state for job in store.list().jobs] == ["canceled"]


def test_files_are_kept_off_the_event_loop(
    url: str, video: Path, tmp_path: Path, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: dict[str, set[int]] = {"read": set(), "written": set()}
    blocks, write = Form.blocks, PartialFile.write

    def reading(self: Form) -> object:
        for block in blocks(self):
            where["read"].add(threading.get_ident())
            yield block

    def writing(self: PartialFile, data: bytes) -> None:
        where["written"].add(threading.get_ident())
        write(self, data)

    monkeypatch.setattr(Form, "blocks", reading)
    monkeypatch.setattr(PartialFile, "write", writing)

    async def main() -> None:
        async with duetto.AsyncClient(url) as client:
            job = await client.submit(video)
            done(job.id)
            await client.fetch(job, tmp_path / "stems")

    asyncio.run(main())
    assert {path.name: path.read_bytes() for path in (tmp_path / "stems").iterdir()} == FILES
    for threads in where.values():
        assert threads
        assert threading.get_ident() not in threads


def test_the_blocking_client_works_beside_a_loop_that_runs(url: str, video: Path, tmp_path: Path, done: Done) -> None:
    async def cell() -> duetto.Separation:
        """As a cell of a notebook."""
        with duetto.Client(url) as client:
            job = client.submit(video)
            assert next(iter(client.events(job))).state == "queued"  # and the rest is not asked for
            done(job.id)
            return client.fetch(client.wait(job), tmp_path / "stems")

    assert asyncio.run(cell()).left.path.read_bytes() == FILES["left.wav"]
