"""What a job works on: where the sound is and where the pictures are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from app.jobs.record import Job
from app.storage import LocalStorage
from worker.errors import NoPicture, NoSound
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
    def of_job(cls, job: Job, storage: LocalStorage) -> Self:
        """Return the uploaded files of a job.

        Raises
        ------
        FilesGone
            If the job was deleted.
        """

        def path(key: str) -> Path:
            return storage.upload_path(job.id, key)

        pictures: tuple[Path, ...] | Path | None = tuple(path(key) for key in job.input.frames) or None
        if job.input.frames_zip:
            pictures = path(job.input.frames_zip)
        return cls(
            video=path(job.input.video) if job.input.video else None,
            audio=path(job.input.audio) if job.input.audio else None,
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

    def probe(self, limits: MediaLimits, *, needs_picture: bool) -> MediaInfo:
        """Look at the header of the sound's file, and whether all that the job needs is there.

        Raises
        ------
        JobFailure
            What `worker.media.probe.probe` raises; NoSound or NoPicture if that is missing.
        """
        info = probe(self.sound, limits)
        if not info.has_audio:
            raise NoSound
        if needs_picture and self.pictures is None and (self.video is None or not info.has_video):
            raise NoPicture
        return info

    def frames(self, limits: MediaLimits) -> Iterator[VideoFrame]:
        """Return the frames to look at, 200 at most, in order."""
        if self.pictures is not None:
            return picture_frames(self.pictures, limits)
        if self.video is None:
            raise NoPicture
        return video_frames(self.video, limits)
