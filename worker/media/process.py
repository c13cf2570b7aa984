"""Process: the child that decodes, as the worker sees it. One for each file, ended when it is done.

The child is not trusted once it has seen an upload: it gets no secret, cannot do much (`decoding.confinement`), and
what it says is checked (`messages`). A child that crashes, says nonsense or takes too much is a failed job;
the worker goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from worker.errors import (
    Canceled,
    DecoderCrashed,
    DecodingLimit,
    FramesUnreadable,
    JobFailure,
    JobGone,
    MediaUnreadable,
    NoPicture,
    NoSound,
    OutOfMemory,
    PictureTooLarge,
    TooLong,
    TooManyFrames,
    UnsupportedMedia,
)
from worker.media import messages
from worker.media.choice import ShouldStop
from worker.media.launch import ended, started
from worker.media.limits import MIB, MediaLimits
from worker.media.messages import Nonsense

logger = logging.getLogger(__name__)

# Between two questions whether to stop, while the child says nothing.
LOOK_EVERY_S = 0.25
# CPU time that was earned is granted in steps, to save calls.
GRANT_STEP_S = 2.0
MAX_MESSAGE_CHARACTERS = 600

# What a child may say went wrong with the upload.
_FAILURES: Final[dict[str, type[JobFailure]]] = {
    kind.code: kind
    for kind in (
        FramesUnreadable,
        JobGone,
        MediaUnreadable,
        NoPicture,
        NoSound,
        PictureTooLarge,
        TooLong,
        TooManyFrames,
        UnsupportedMedia,
    )
}


class DecoderProcess:
    """A child that does one task. A context manager; leaving it ends the child, whatever it is doing."""

    def __init__(
        self,
        task: str,
        files: Sequence[Path],
        limits: MediaLimits,
        should_stop: ShouldStop | None = None,
        **arguments: Any,
    ) -> None:
        """Prepare `task` of `decoding.tasks` on `files`; `should_stop` is asked while waiting."""
        self._request = {
            "parent": os.getpid(),
            "task": task,
            "files": [str(path.absolute()) for path in files],
            "limits": dataclasses.asdict(limits),
            "arguments": arguments,
        }
        self._limits = limits
        self._should_stop = should_stop
        self._process: subprocess.Popen[bytes] | None = None
        self._waited_s = 0.0
        self._earned_s = 0.0
        self._granted_s = 0.0

    def __enter__(self) -> Self:
        self._process = started()
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        # The child reads all of it before anything else; one that is gone shows in `receive`.
        with contextlib.suppress(BrokenPipeError), self._process.stdin as request:
            request.write(json.dumps(self._request).encode("ascii"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            ended(process)

    def receive(self, most_bytes: Mapping[bytes, int]) -> tuple[bytes, bytearray] | None:
        """Return the next message, its kind and its content, or None at the end.

        Parameters
        ----------
        most_bytes : mapping
            The kinds that may come now, and the largest content of each.

        Raises
        ------
        DecodingLimit
            If the child needed more memory, CPU time or time than it has.
        DecoderCrashed
            If it died or said what it must not.
        Canceled
            If `should_stop` said so.
        JobFailure
            What it says is wrong with the upload.
        """
        kind, size = messages.HEAD.unpack(self._read(messages.HEAD.size))
        allowed = {messages.END: 0, messages.FAILURE: messages.MAX_JSON_BYTES, **most_bytes}
        if size > allowed.get(kind, -1):
            raise self.refused(f"{size} bytes of kind {kind!r}")
        content = self._read(size)
        if kind == messages.FAILURE:
            raise self._failure(content)
        return None if kind == messages.END else (kind, content)

    def earn(self, cpu_s: float) -> None:
        """Let the child have `cpu_s` more seconds of CPU time, for what it has delivered."""
        self._earned_s += cpu_s
        if self._process is None or self._earned_s - self._granted_s < GRANT_STEP_S:
            return
        self._granted_s = self._earned_s
        now = math.ceil(self._limits.cpu_s + self._earned_s)
        # One that has died shows in `receive`.
        with contextlib.suppress(ProcessLookupError):
            _, most = resource.prlimit(self._process.pid, resource.RLIMIT_CPU)
            resource.prlimit(self._process.pid, resource.RLIMIT_CPU, (min(now, most - 1), most))

    def refused(self, why: str) -> DecoderCrashed:
        """Return the error for a child that says what it must not, and log why."""
        logger.warning("the decoder is not believed: %s", why)
        return DecoderCrashed()

    def _read(self, size: int) -> bytearray:
        content = bytearray(size)
        left = memoryview(content)
        pipe = self._pipe()
        while left:
            self._wait_for(pipe)
            count = os.readv(pipe, [left])
            if count == 0:
                raise self._death()
            left = left[count:]
        return content

    def _pipe(self) -> int:
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("a DecoderProcess is read from inside its with block")
        return self._process.stdout.fileno()

    def _wait_for(self, pipe: int) -> None:
        """Wait until there is something to read, or the child has closed its end."""
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        ready = poll.poll(0)
        while not ready:
            if self._should_stop is not None and self._should_stop():
                raise Canceled
            since = time.monotonic()
            ready = poll.poll(LOOK_EVERY_S * 1000)
            self._waited_s += time.monotonic() - since
            if not ready and self._waited_s > self._limits.wait_per_cpu_s * (self._limits.cpu_s + self._earned_s):
                logger.warning("the decoder is ended after %.0f s without an answer", self._waited_s)
                raise DecodingLimit

    def _death(self) -> JobFailure:
        """The child has closed its end without a last word: say what its end means."""
        assert self._process is not None  # noqa: S101 - for the type checker; `_pipe` has looked
        code = ended(self._process, patience_s=LOOK_EVERY_S)
        if code == -signal.SIGXCPU:
            logger.warning("the decoder took more CPU time than it had")
            return DecodingLimit()
        if code == -signal.SIGKILL:
            # Nobody but the system does this: the machine, not this process, was short of memory.
            logger.warning("the decoder was killed, probably for want of memory")
            return OutOfMemory()
        logger.warning("the decoder crashed: %s", signal.Signals(-code).name if code < 0 else f"exit status {code}")
        return DecoderCrashed()

    def _failure(self, content: bytearray) -> JobFailure:
        try:
            said = messages.as_json(content)
        except Nonsense as nonsense:
            return self.refused(str(nonsense))
        code, message = said.get("code"), said.get("message")
        if code == OutOfMemory.code:
            logger.warning("the decoder needed more than its %d MiB", self._limits.memory_bytes // MIB)
            return DecodingLimit()
        if not isinstance(code, str) or not isinstance(message, str) or code not in _FAILURES:
            return self.refused(f"failure {said!r:.4000}")
        believed = message.isprintable() and len(message) <= MAX_MESSAGE_CHARACTERS
        return _FAILURES[code](message if believed else None)
