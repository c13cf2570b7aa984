"""Everything that `worker` raises on purpose: one class for each way in which a job can fail.

::

    JobFailure
    ├── MediaUnreadable     media_unreadable   nothing could be decoded: damaged, truncated, no media at all
    ├── UnsupportedMedia    unsupported_media  a codec, a rate or a number of channels that is not handled
    ├── NoSound             no_audio           no audio stream
    ├── NoPicture           no_picture         neither a video stream nor pictures
    ├── SilentSound         silent_audio       an audio stream with nothing in it
    ├── TooLong             too_long           more seconds than the limit
    ├── PictureTooLarge     picture_too_large  more pixels or bytes in a picture than the limit
    ├── FramesUnreadable    frames_unreadable  pictures, or a zip of them, that cannot be decoded
    ├── TooManyFrames       too_many_frames    more pictures than the limit
    ├── StemFormatUnfit     format_unfit       a format that cannot hold the recording's channels or rate
    ├── LabelsUnfit         labels_unfit       a label rule that the tagger cannot work by
    ├── DecodingLimit       decoding_limit     decoding needs more memory or time than it is given
    ├── DecoderCrashed      decoder_crashed    the process that decodes died of the file
    ├── OutOfMemory         out_of_memory      (retryable) the machine had not enough memory
    ├── PluginUnusable      plugin_unusable    (retryable) a plugin that is not there or cannot be loaded
    ├── PluginFailed        plugin_failed      a plugin that failed at its work
    ├── TimeLimit           time_limit         the job took longer than the limit
    ├── WorkerLost          worker_lost        (retryable) the worker died again and again
    ├── Canceled            canceled           the user asked for it
    └── JobGone             job_gone           the job was deleted while it ran

    WebhookFailure
    ├── AddressRefused      a name that leads to no public address
    └── NameNotFound        a name that leads nowhere

Every message of a job's failure is for the user: what was wrong, what was wanted, what to do. None holds a path.
"""

from __future__ import annotations

from typing import ClassVar


class JobFailure(Exception):  # noqa: N818 - named for what happened, as are all below
    """Base of every way in which a job fails.

    Attributes
    ----------
    code : str
        Stable name of the failure, for programs.
    retryable : bool
        Whether the same job may succeed when it is tried again unchanged.
    message : str
        What was wrong, what was wanted and what to do.
    """

    code: ClassVar[str] = "job_failed"
    retryable: ClassVar[bool] = False
    default_message: ClassVar[str] = "The job failed. Try again; if it fails again, report it."

    def __init__(self, message: str | None = None) -> None:
        self.message = message if message is not None else self.default_message
        super().__init__(self.message)


class MediaUnreadable(JobFailure):
    """Nothing could be decoded."""

    code = "media_unreadable"
    default_message = (
        "The file cannot be read as audio or video: it is damaged, incomplete or something else. "
        "Wanted is an MP4, MOV, WebM, MKV or AVI that plays in a video player. Check it there and upload it again."
    )


class UnsupportedMedia(JobFailure):
    """The file is sound but uses something that is not handled."""

    code = "unsupported_media"
    default_message = (
        "The file uses a codec that is not supported. Wanted is common media such as H.264 with AAC in an MP4. "
        "Convert the file and upload it again."
    )


class NoSound(JobFailure):
    """The upload has no audio stream."""

    code = "no_audio"
    default_message = (
        "The upload has no sound. Wanted is a recording of two players. Upload a video with an audio track."
    )


class NoPicture(JobFailure):
    """The upload has neither a video stream nor pictures."""

    code = "no_picture"
    default_message = (
        "The upload has no picture, so who plays on which side cannot be seen. "
        "Upload a video, or name the instruments with `left` and `right`."
    )


class SilentSound(JobFailure):
    """The audio stream holds nothing but silence."""

    code = "silent_audio"
    default_message = (
        "The sound is silent from beginning to end. Wanted is a recording in which two players are heard. "
        "Check the audio track and upload it again."
    )


class TooLong(JobFailure):
    """The recording lasts longer than the limit."""

    code = "too_long"
    default_message = "The recording is longer than allowed. Cut it into shorter parts and upload each."


class PictureTooLarge(JobFailure):
    """A picture or a video frame has more pixels, or more bytes, than the limit."""

    code = "picture_too_large"
    default_message = "A picture is larger than allowed. Scale it down and upload it again."


class FramesUnreadable(JobFailure):
    """The pictures, or the zip of them, cannot be decoded."""

    code = "frames_unreadable"
    default_message = (
        "The pictures cannot be decoded. Wanted are JPEG, PNG, WebP or BMP files, or one zip of them. "
        "Check that they open in a picture viewer and upload them again."
    )


class TooManyFrames(JobFailure):
    """The upload holds more pictures than the limit."""

    code = "too_many_frames"
    default_message = "The upload holds more pictures than allowed. Upload fewer: 2.4 a second are enough."


class StemFormatUnfit(JobFailure):
    """The format that was asked for cannot hold the recording's channels or rate."""

    code = "format_unfit"
    default_message = (
        "The recording has more channels or samples a second than the format can hold. Post it again with format wav."
    )


class LabelsUnfit(JobFailure):
    """The tagger cannot work by the label rule that was asked for."""

    code = "labels_unfit"
    default_message = "The tagger cannot work by this label rule. Ask for the label rule report, or for another tagger."


class DecodingLimit(JobFailure):
    """Decoding the upload takes more memory, CPU time or time than it is given."""

    code = "decoding_limit"
    default_message = (
        "Decoding the file takes more memory or time than is allowed: it is damaged, or its picture is very large. "
        "Convert it to an MP4 with H.264, 1920 × 1080 at most, and AAC, and upload that."
    )


class DecoderCrashed(JobFailure):
    """The process that decodes the upload died, or said what makes no sense."""

    code = "decoder_crashed"
    default_message = (
        "The file makes the decoder crash: it is damaged or made in an unusual way. "
        "Convert it to an MP4 with H.264 and AAC, check that it plays, and upload that."
    )


class OutOfMemory(JobFailure):
    """The machine had not enough memory for the job."""

    code = "out_of_memory"
    retryable = True
    default_message = (
        "The worker ran out of memory. Try again later; if it fails again, upload a smaller or shorter recording."
    )


class PluginUnusable(JobFailure):
    """A separator or tagger that another package adds is not on the worker, or cannot be loaded."""

    code = "plugin_unusable"
    retryable = True
    default_message = (
        "The worker lacks a separator or tagger that this job asks for. Choose another one, or ask the server's "
        "operator to run `duetto doctor` where the worker runs."
    )


class PluginFailed(JobFailure):
    """A separator or tagger that another package adds raised an error, or gave what makes no sense."""

    code = "plugin_failed"
    default_message = (
        "A separator or tagger that another package adds to the server failed. Choose another one, "
        "or report it to the makers of that package."
    )


class TimeLimit(JobFailure):
    """The job took longer than the limit."""

    code = "time_limit"
    default_message = "The job took longer than allowed and was stopped. Upload a shorter recording."


class WorkerLost(JobFailure):
    """The worker died while it ran the job, as often as it was tried."""

    code = "worker_lost"
    retryable = True
    default_message = (
        "The worker stopped while it ran the job, more than once. Try again later; if it fails again, "
        "convert the recording to an MP4 with H.264 and AAC and upload that."
    )


class Canceled(JobFailure):
    """The user canceled the job."""

    code = "canceled"
    default_message = "The job was canceled. Post it again to run it."


class JobGone(JobFailure):
    """The job, or its upload, was deleted while it ran."""

    code = "job_gone"
    default_message = "The job was deleted while it ran. Post it again to run it."


class WebhookFailure(Exception):  # noqa: N818
    """Base of the ways in which a webhook cannot be sent that no library has a name for."""


class AddressRefused(WebhookFailure):
    """The receiver's name leads to no address that webhooks may go to."""


class NameNotFound(WebhookFailure):
    """The receiver's name leads nowhere."""
