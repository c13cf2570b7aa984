"""What an upload may ask for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypedDict

from duetto._job import Job

PathLike = str | os.PathLike[str]


class Options(TypedDict, total=False):
    """Keyword arguments of `submit` and `separate`. None is the same as not given: the server's choice.

    Attributes
    ----------
    frames : pictures of the duet in order, or one zip of them; with `audio`, instead of a video
    audio : the sound that goes with `frames`, or alone with both `left` and `right`
    again : an earlier job of yours, or its id, whose files are used once more instead of any sent now
    separator : how to separate
    tagger : which network looks at the picture
    labels : how it is found who plays: ``fused`` (picture and sound) or ``report`` (halves of the picture)
    format : what the stems are to be: ``wav``, ``flac`` or ``mp3``
    bits : bits a sample: wav 16, 24 or 32 (floats), flac 16 or 24
    webhook_url : where the server is to tell that the job has ended
    idempotency_key : a name for this upload, where one call follows another that failed; else each call makes one
    """

    frames: PathLike | Sequence[PathLike] | None
    audio: PathLike | None
    again: Job | str | None
    separator: str | None
    tagger: str | None
    labels: str | None
    format: str | None
    bits: int | None
    webhook_url: str | None
    idempotency_key: str | None
