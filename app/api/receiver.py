"""Receives the form of ``POST /v1/jobs`` as it arrives: files go straight to the storage.

Memory does not grow with the upload, and a wrong file is refused at its first bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from app.api.form import OPTION_NAMES, ReceivedFile
from app.errors import BodyTooLarge, ConflictingInput, MalformedBody, NotAFile, TooManyImages, UnknownField
from app.storage.protocol import Storage, UploadPart
from app.uploads import SNIFF_BYTES, Field, Format, check_format, check_zip, display_title

# Written to disk in blocks of this size, each in one trip to a thread.
_BLOCK_BYTES: Final = 1 << 20
_OPTION_BYTES: Final = 1024
# Parts beside the pictures: fields, and file inputs that nothing was chosen in. Each costs time to parse, so that a
# form of nothing but empty ones would keep a core busy for hours within the limit of bytes.
_SPARE_PARTS: Final = 100
_FIELD_NAMES: Final = (*Field, *OPTION_NAMES)


async def read_body(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the request's body in blocks of about 1 MiB.

    Raises
    ------
    BodyTooLarge
        If it has more than `limit` bytes: before the first is read where its length is declared.
    """
    refusal = BodyTooLarge(
        f"the upload has more than the {limit} bytes that this server takes; "
        "send a shorter or a smaller video (sound and 2.4 pictures a second are all that is used)"
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise refusal
    block = bytearray()
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limit:
            raise refusal
        block += chunk
        if len(block) >= _BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)


@dataclass(slots=True)
class _Part:
    """The part that is being read."""

    disposition: bytearray = field(default_factory=bytearray)
    name: str = ""
    filename: str | None = None
    head: bytearray = field(default_factory=bytearray)
    upload: UploadPart | None = None
    file: ReceivedFile | None = None
    digest: hashlib._Hash | None = None


class FormReceiver:
    """Parses a multipart form block by block. Blocking: call it in a thread.

    After `finish`, `fields` and `files` are complete. After any error, call `discard` and remove the
    job's folder.
    """

    def __init__(
        self, storage: Storage, job_id: str, content_type: str, max_images: int, *, fingerprints: bool = False
    ) -> None:
        """Begin. Raises `MalformedBody` if `content_type` is not multipart/form-data with a boundary.

        With `fingerprints`, what comes is hashed on its way, for `fingerprint`.
        """
        self.fields: dict[str, str] = {}
        self.files: list[ReceivedFile] = []
        self._storage = storage
        self._job_id = job_id
        self._max_images = max_images
        self._fingerprints = fingerprints
        self._digests: list[tuple[str, str, str]] = []
        self._counts: Counter[Field] = Counter()
        self._parts = 0
        self._part = _Part()
        self._header = bytearray()
        self._value = bytearray()
        self._ended = False
        kind, parameters = parse_options_header(content_type)
        boundary = parameters.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise MalformedBody(
                "the body must be multipart/form-data with a `video` file; with curl: -F video=@duet.mp4"
            )
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise MalformedBody("the multipart boundary is too long; at most 256 characters are taken") from error

    def feed(self, block: bytes) -> None:
        """Take the next bytes of the body.

        Raises
        ------
        MalformedBody
            If they are not multipart.
        UnknownField, NotAFile, EmptyFile, UnsupportedMedia, TooManyImages
            If a part cannot be used.
        StorageFull, StorageUnavailable
            If a file cannot be written.
        """
        try:
            self._parser.write(block)
        except FormParserError as error:
            raise MalformedBody("the multipart body is broken; send it again") from error

    def finish(self) -> None:
        """Check that the body is whole.

        Raises
        ------
        MalformedBody
            If it ends too early.
        CorruptZip, TooManyImages
            If a zip of frames cannot be used.
        """
        if not self._ended:
            raise MalformedBody("the multipart body is cut short; send it again")
        for file in self.files:
            if file.format is Format.ZIP:
                with self._storage.open_upload(self._job_id, file.key) as archive:
                    check_zip(archive, self._max_images)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the fields and files that came: the same for the same upload sent again."""
        fields = sorted((name, value) for name, value in self.fields.items() if value.strip())
        return hashlib.sha256(json.dumps([fields, self._digests]).encode()).hexdigest()

    def discard(self) -> None:
        """Close and drop the file that is being written, if any."""
        if self._part.upload is not None:
            self._part.upload.discard()

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > self._max_images + _SPARE_PARTS:
            raise MalformedBody(f"the form has more than {self._max_images + _SPARE_PARTS} parts; send a file a part")
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._part.disposition = self._value
        self._header, self._value = bytearray(), bytearray()

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._part.disposition.decode("latin-1"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        self._part.name = name
        self._part.filename = None if filename is None else filename.decode("utf-8", "replace")
        if name not in _FIELD_NAMES:
            raise UnknownField(f"there is no field {name[:40]!r}; the fields are {', '.join(_FIELD_NAMES)}")
        if name in self.fields:
            raise UnknownField(f"`{name}` came twice; send it once")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part.upload is not None:
            part.upload.write(data[start:end])
            if part.digest is not None:
                part.digest.update(data[start:end])
            return
        part.head += data[start:end]
        if part.name in OPTION_NAMES:
            if len(part.head) > _OPTION_BYTES:
                raise UnknownField(f"`{part.name}` is too long; it takes at most {_OPTION_BYTES} bytes")
        elif len(part.head) >= SNIFF_BYTES:
            self._open_file()

    def _on_part_end(self) -> None:
        part = self._part
        if part.name in OPTION_NAMES:
            self.fields[part.name] = part.head.decode("utf-8", "replace")
            return
        if part.upload is None:
            if not part.filename and not part.head:
                # What a browser sends for a file input that nothing was chosen in.
                return
            self._open_file()
        if part.upload is not None and part.file is not None:
            part.upload.commit()
            self.files.append(part.file)
            if part.digest is not None:
                self._digests.append((part.file.field, part.file.title, part.digest.hexdigest()))
            part.upload = None

    def _on_end(self) -> None:
        self._ended = True

    def _open_file(self) -> None:
        part = self._part
        kind = Field(part.name)
        if part.filename is None:
            raise NotAFile(f"`{kind}` came as text, not as a file; with curl, write -F {kind}=@FILE, with the @")
        title = display_title(part.filename)
        found = check_format(kind, bytes(part.head), title)
        self._counts[kind] += 1
        key = self._key(kind, found)
        part.file = ReceivedFile(kind, key, title, found)
        part.upload = self._storage.upload(self._job_id, key)
        part.upload.write(bytes(part.head))
        if self._fingerprints:
            part.digest = hashlib.sha256(part.head)

    def _key(self, kind: Field, found: Format) -> str:
        count = self._counts[kind]
        if kind is not Field.FRAMES:
            if count > 1:
                raise ConflictingInput(f"`{kind}` came more than once; send one file")
            return f"{kind}.{found}"
        if count > self._max_images:
            raise TooManyImages(f"`frames`: at most {self._max_images} pictures are taken")
        has_zip = any(file.format is Format.ZIP for file in self.files)
        if count > 1 and (has_zip or found is Format.ZIP):
            raise ConflictingInput("`frames`: send several pictures, or one zip, not both and not two")
        return "frames.zip" if found is Format.ZIP else f"frame-{count:06d}.{found}"
