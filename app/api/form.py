"""The form of ``POST /v1/jobs``: its fields, what they may be together, and how OpenAPI shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.errors import ConflictingInput, MissingInput, UnknownInstrument, UnknownOption
from app.instruments import INSTRUMENT_NAMES
from app.jobs.record import JobInput, JobOptions
from app.methods import AUTO, LABEL_RULES, Kind
from app.plugins import check_name, names
from app.settings import Settings
from app.stem_formats import BITS, STEM_FORMATS, StemFormat
from app.uploads import Field, Format
from app.webhooks.target import MOST_CHARACTERS

OPTION_NAMES: Final = ("again", "left", "right", "separator", "tagger", "labels", "format", "bits", "webhook_url")


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """One file of the form, stored: its field, its storage key, the client's name for it, what it is."""

    field: Field
    key: str
    title: str
    format: Format


def parse_options(
    fields: Mapping[str, str], settings: Settings, elsewhere: Callable[[Kind], Iterable[str]] = lambda _: ()
) -> JobOptions:
    """Return the job's options; an empty field is one not given.

    `elsewhere` is asked for names of separators or taggers that are not known here: workers may have others.

    Raises
    ------
    UnknownInstrument
        If a side's name is none of the eight.
    UnknownOption
        If there is no such separator, tagger or format, or the format has no such bits.
    """
    return JobOptions.model_validate(
        {
            "left": _parse_instrument("left", fields),
            "right": _parse_instrument("right", fields),
            "separator": _parse_method(Kind.SEPARATOR, fields, elsewhere) or settings.separator,
            "tagger": _parse_method(Kind.TAGGER, fields, elsewhere) or settings.tagger,
            "labels": _parse_choice("labels", fields, LABEL_RULES) or AUTO,
            **_parse_format(fields),
        }
    )


def parse_input(files: Sequence[ReceivedFile], options: JobOptions) -> JobInput:
    """Return the job's input: a video, or frames with audio, or audio with both names.

    Raises
    ------
    MissingInput
        If there is no file, or not all that belong together.
    ConflictingInput
        If there is a video and anything else.
    """
    by_field = {field: [file for file in files if file.field is field] for field in Field}
    videos, frames, audios = by_field[Field.VIDEO], by_field[Field.FRAMES], by_field[Field.AUDIO]
    if not files:
        raise MissingInput(
            "no file came: send the duet as multipart field `video`, or its pictures as `frames` and its "
            "sound as `audio`, or the id of a job whose files are to be used once more as `again`"
        )
    if videos and len(files) > len(videos):
        raise ConflictingInput("`video` holds picture and sound already: send `video` alone, or `frames` with `audio`")
    if videos:
        return JobInput(kind="video", title=videos[0].title, video=videos[0].key)
    if not audios:
        raise MissingInput("`frames` need the sound too: add the recording as `audio`")
    audio = audios[0]
    if not frames:
        _check_named(options)
        return JobInput(kind="audio", title=audio.title, audio=audio.key)
    if frames[0].format is Format.ZIP:
        return JobInput(kind="frames", title=audio.title, audio=audio.key, frames_zip=frames[0].key)
    keys = tuple(frame.key for frame in frames)
    return JobInput(kind="frames", title=audio.title, audio=audio.key, frames=keys)


def check_again(files: Sequence[ReceivedFile], earlier: JobInput, options: JobOptions) -> None:
    """Return if a job with these options can use the input of an earlier one.

    Raises
    ------
    ConflictingInput
        If files came too.
    MissingInput
        If the input is sound alone, and not both sides are named.
    """
    if files:
        raise ConflictingInput("`again` uses an earlier job's files: send it without `video`, `frames` and `audio`")
    if earlier.kind == "audio":
        _check_named(options)


def _check_named(options: JobOptions) -> None:
    if options.left is None or options.right is None:
        raise MissingInput(
            "`audio` alone does not show who plays where: add `frames`, or name both sides with `left` and `right`"
        )


def _parse_instrument(side: str, fields: Mapping[str, str]) -> str | None:
    value = fields.get(side, "").strip()
    name = value.lower().replace(" ", "_").replace("-", "_")
    if not name:
        return None
    if name not in INSTRUMENT_NAMES:
        raise UnknownInstrument(
            f"`{side}`: no instrument is called {value[:40]!r}; the eight are {', '.join(INSTRUMENT_NAMES)}"
        )
    return name


def _parse_method(kind: Kind, fields: Mapping[str, str], elsewhere: Callable[[Kind], Iterable[str]]) -> str | None:
    value = fields.get(kind, "").strip()
    if not value or value in names(kind):
        return value or None
    try:
        return check_name(kind, value, elsewhere(kind))
    except ValueError as error:
        raise UnknownOption(f"`{kind}`: {error}") from None


def _parse_choice(option: str, fields: Mapping[str, str], choices: tuple[str, ...]) -> str | None:
    value = fields.get(option, "").strip()
    if not value:
        return None
    if value not in choices:
        raise UnknownOption(f"`{option}`: there is no {value[:40]!r}; it is one of {', '.join(choices)}")
    return value


def _parse_format(fields: Mapping[str, str]) -> dict[str, str | int]:
    name = _parse_choice("format", fields, STEM_FORMATS)
    stem_format: StemFormat = next((known for known in STEM_FORMATS if known == name), "wav")
    value = fields.get("bits", "").strip()
    if not value:
        return {"format": stem_format}
    choices = BITS[stem_format]
    if not choices:
        raise UnknownOption(
            f"`bits`: {stem_format} has no bits a sample; leave `bits` out, or choose `format` wav or flac"
        )
    if value not in map(str, choices):
        raise UnknownOption(
            f"`bits`: {stem_format} has no {value[:40]!r}; it is one of {', '.join(map(str, choices))}"
            + (", where 32 are floats" if 32 in choices else "")
        )
    return {"format": stem_format, "bits": int(value)}


def _file(description: str) -> dict[str, Any]:
    return {"type": "string", "format": "binary", "description": description}


def _choice(description: str, choices: Sequence[str], **more: Any) -> dict[str, Any]:
    return {"type": "string", "enum": list(choices), "description": description, **more}


def _method(kind: Kind, description: str) -> dict[str, Any]:
    more = f"{description} Workers may have more: `GET /v1/methods` lists all."
    return _choice(more, names(kind), default=AUTO)


# What goes with what, as parse_input and _parse_format have it.
_TOGETHER: Final[dict[str, Any]] = {
    "anyOf": [
        {"required": ["video"]},
        {"required": ["frames", "audio"]},
        {"required": ["audio", "left", "right"]},
        {"required": ["again"]},
    ],
    "dependentSchemas": {
        "video": {"properties": {"frames": False, "audio": False}},
        "again": {"properties": {"video": False, "frames": False, "audio": False}},
        "bits": {
            "anyOf": [
                {
                    "properties": {"format": {"const": name}, "bits": {"enum": list(map(str, choices))}},
                    "required": ["format"] if name != "wav" else [],
                }
                for name, choices in BITS.items()
                if choices
            ]
        },
    },
}
FILE_TYPES: Final = {
    "video": "video/mp4, video/quicktime, video/webm, video/x-matroska, video/x-msvideo",
    "frames": "image/jpeg, image/png, image/webp, image/bmp, application/zip",
    "audio": "audio/wav, audio/flac, audio/mpeg, audio/ogg, audio/mp4",
}

# The body is read by our own streaming receiver, so FastAPI cannot derive this.
REQUEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "additionalProperties": False,
                **_TOGETHER,
                "properties": {
                    "video": _file("The duet: mp4, mov, webm, mkv or avi. Not together with `frames` or `audio`."),
                    "frames": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "Pictures of the duet in order (jpg, png, webp or bmp), or one zip of them.",
                    },
                    "audio": _file(
                        "The sound that goes with `frames`: wav, flac, mp3, ogg or m4a. "
                        "Alone it needs both `left` and `right`."
                    ),
                    "again": {
                        "type": "string",
                        "description": "The id of a job of yours that still has its files: they are used once more, "
                        "with the options of this form, instead of being sent again.",
                        "example": "8f14e45fceea467a9c7f3d0d1f2b6a5e",
                    },
                    "left": _choice(
                        "Who plays left; not given: found in the picture.", INSTRUMENT_NAMES, example="violin"
                    ),
                    "right": _choice(
                        "Who plays right; not given: found in the picture. The same as `left` for two players of one "
                        "instrument, whom only a stereo recording tells apart.",
                        INSTRUMENT_NAMES,
                        example="trumpet",
                    ),
                    "separator": _method(Kind.SEPARATOR, "The way to separate."),
                    "tagger": _method(Kind.TAGGER, "What looks at the picture."),
                    "labels": _choice(
                        "How it is found who plays: `fused` by picture and sound together, `report` by the halves of "
                        "the frame. `auto` is `fused`, if the tagger can say where it sees what.",
                        LABEL_RULES,
                        default=AUTO,
                    ),
                    "format": _choice(
                        "What the stems are written as. mp3 is lossy and holds one or two channels.",
                        STEM_FORMATS,
                        default="wav",
                    ),
                    "bits": _choice(
                        "Bits a sample. wav: 16, 24, or 32 as floats (the default), which hold any level; flac: 16 or "
                        "24 (the default). Not with mp3.",
                        [str(bits) for bits in sorted({*BITS["wav"], *BITS["flac"]})],
                    ),
                    "webhook_url": {
                        "type": "string",
                        "format": "uri",
                        "maxLength": MOST_CHARACTERS,
                        "pattern": "^https?://[^#]+$",
                        "description": "Where to POST the job when it has ended, signed (Standard Webhooks). http or "
                        "https, public, without credentials. Taken where the server has a secret to sign with.",
                    },
                },
            },
            "encoding": {name: {"contentType": kinds} for name, kinds in FILE_TYPES.items()},
        }
    },
}
