"""Serve: the life of the process that decodes. One request, one confinement, one answer."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worker.errors import JobFailure, OutOfMemory
from worker.media import messages
from worker.media.decoding.confinement import Confinement, confine, die_with
from worker.media.limits import MediaLimits

Arguments = Mapping[str, Any]
# Gets the files, the limits, the arguments, the pipe to write to and the confinement that it runs in.
Task = Callable[[list[Path], MediaLimits, Arguments, int, Confinement], None]

UNEXPECTED = "unexpected"
_TRACE_CHARACTERS = 4000


def serve(tasks: Mapping[str, Task]) -> None:
    """Read one request from standard input, do it, and answer on standard output.

    The request is a JSON object: `parent` (process id), `task`, `files`, `limits` and `arguments`. All
    that `tasks` import must have been imported before: afterwards there is little that may be opened.
    """
    request = json.loads(sys.stdin.buffer.read() or b"null")
    if request is None:
        # Started ahead, and not needed.
        return
    die_with(request["parent"])
    # A library that prints must not write between our messages.
    pipe = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    limits = MediaLimits(**request["limits"])
    files = [Path(name) for name in request["files"]]
    confinement = confine(limits.memory_bytes, limits.start_cpu_s, limits.most_cpu_s, files)
    try:
        tasks[request["task"]](files, limits, request["arguments"], pipe, confinement)
    except JobFailure as failure:
        _send_failure(pipe, failure.code, failure.message)
    except MemoryError:
        _send_failure(pipe, OutOfMemory.code, OutOfMemory.default_message)
    except BrokenPipeError:
        # Nobody listens any more.
        return
    except Exception:  # noqa: BLE001 - for the worker's log; nothing of it reaches the user
        _send_failure(pipe, UNEXPECTED, traceback.format_exc()[-_TRACE_CHARACTERS:])
    else:
        messages.send(pipe, messages.END)


def _send_failure(pipe: int, code: str, message: str) -> None:
    messages.send_json(pipe, messages.FAILURE, {"code": code, "message": message})
