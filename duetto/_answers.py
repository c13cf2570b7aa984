"""What an answer means: a document, or the error that it tells."""

from __future__ import annotations

import json
from typing import Any, Final

from duetto._connection import Answer
from duetto._errors import InvalidAnswer
from duetto._problems import problem_of

NOT_MODIFIED: Final = 304
_NO_CONTENT: Final = 204


async def check(answer: Answer) -> None:
    """Return if the answer says yes, or that nothing has changed.

    Raises
    ------
    Problem, JobNotSucceeded
        What the server says otherwise.
    InvalidAnswer
        If it sends elsewhere.
    """
    if 200 <= answer.status < 300 or answer.status == NOT_MODIFIED:
        return
    if 300 <= answer.status < 400:
        where = answer.headers.get("Location", "elsewhere")
        raise InvalidAnswer(f"{answer.url} sends on to {where}; give the address of the Duetto server itself")
    raise problem_of(answer.status, answer.reason, answer.headers, await answer.read(), answer.url)


async def read_document(answer: Answer) -> dict[str, Any]:
    """Return the JSON object that is the answer's body; an empty one if it has none.

    Raises
    ------
    InvalidAnswer
        If it is something else.
    """
    if answer.status == _NO_CONTENT:
        return {}
    try:
        document = json.loads(await answer.read())
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InvalidAnswer(f"{answer.url} answers, but not as a Duetto server does")
    return document
