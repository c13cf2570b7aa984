"""What a job works on: where the sound is and where the pictures are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from app.jobs.record import Job
from worker.errors import NoPicture, NoSound
from worker.media.choice import ShouldStop
from worker.media.frames import VideoFrame, picture_frames, video_frames
from worker.media.limits import MediaLimits
from worker.media.probe import MediaInfo, probe


@dataclass(frozen=True)
class Source:
    """Files on this machine: a video, or a sound file with or without pictures.

    `pictures` is a list of image files or one zip of them.
    """

    video: Path | None = None
    audio: Path | None = None
    pictures: tuple[Path, ...] | Path | None = None

    @classmethod
    def of_job(cls, job: Job, files: Mapping[str, Path]) -> Self:
        """Return the uploaded files of a job; `files` are those of its keys (`JobInput.keys`)."""
        pictures: tuple[Path, ...] | Path | None = tuple(files[key] for key in job.input.frames) or None
        if job.input.frames_zip:
            pictures = files[job.input.frames_zip]
        return cls(
            video=files[job.input.video] if job.input.video else None,
            audio=files[job.input.audio] if job.input.audio else None,
            pictures=pictures,
        )

    @property
    def sound(self) -> Path:
        """The file whose sound is separated.

        Raises
        ------
        NoSound
            If there is none.
        """
        path = self.audio or self.video
        if path is None:
            raise NoSound
        return path

    def probe(self, limits: MediaLimits, *, needs_picture: bool, should_stop: ShouldStop | None = None) -> MediaInfo:
        """Look at the header of the sound's file, and whether all that the job needs is there.

        Raises
        ------
        JobFailure
            What `worker.media.probe.probe` raises; NoSound or NoPicture if that is missing.
        """
        info = probe(self.sound, limits, should_stop)
        if not info.has_audio:
            raise NoSound
        if needs_picture and self.pictures is None and (self.video is None or not info.has_video):
            raise NoPicture
        return info

    def frames(
        self, limits: MediaLimits, should_stop: ShouldStop | None = None, *, in_rounds: bool = False
    ) -> Iterator[VideoFrame]:
        """Return the frames to look at, 200 at most, in order or in rounds that halve the gaps."""
        if self.pictures is not None:
            return picture_frames(self.pictures, limits, should_stop=should_stop, in_rounds=in_rounds)
        if self.video is None:
            raise NoPicture
        return video_frames(self.video, limits, should_stop=should_stop, in_rounds=in_rounds)
