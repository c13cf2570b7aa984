"""Server-sent events (WHATWG HTML, section 9.2): from bytes, however they are cut, to events."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from duetto._errors import InvalidAnswer

_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_MOST_CHARACTERS: Final = 1 << 20  # of one event; ours have two thousand


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `last_id` is what Last-Event-ID is to say after it."""

    name: str
    data: str
    last_id: str


class EventParser:
    """Takes a stream in, gives events out. `retry_s` is the pause that the server wants before reconnecting."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._after_cr = False
        self._is_first = True
        self._name = ""
        self._data: list[str] = []
        self._last_id = ""
        self.retry_s: float | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes.

        Raises
        ------
        InvalidAnswer
            If an event does not end.
        """
        text = self._decoder.decode(data)
        if not text:
            return []
        if self._is_first:
            text = text.removeprefix("\ufeff")
            self._is_first = False
        if self._after_cr:
            text = text.removeprefix("\n")
        # Of a line's end in two pieces, the first one counts.
        self._after_cr = text.endswith("\r") or (self._after_cr and not text)
        *lines, self._rest = _LINE_END.split(self._rest + text)
        events = [event for line in lines if (event := self._take(line)) is not None]
        if len(self._rest) + sum(map(len, self._data)) > _MOST_CHARACTERS:
            raise InvalidAnswer("the server's event does not end; is this address a Duetto server?")
        return events

    def _take(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._last_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_s = int(value[:9]) / 1000.0
        return None

    def _dispatch(self) -> Event | None:
        event = Event(self._name or "message", "\n".join(self._data), self._last_id) if self._data else None
        self._name, self._data = "", []
        return event
