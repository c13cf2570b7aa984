"""What must never be in a log: the values of all secret settings, and the one place that takes them out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from app.settings import MASK, Settings

# A shorter one is no secret, and taking it out would take parts of words out.
_LEAST_LENGTH: Final = 6


def secret_values(settings: Settings) -> frozenset[str]:
    """Return every text in the settings that is not for a log: passwords, keys and their hashes."""
    found: set[str] = set()
    for _, value in settings:
        if isinstance(value, SecretStr):
            # One setting may hold several, with spaces between.
            found |= {value.get_secret_value(), *value.get_secret_value().split()}
    if settings.redis_url:
        # As it stands in the URL and as it is sent.
        password = _password(settings.redis_url)
        found |= {password, unquote(password)}
    for entry in (settings.api_keys or "").split(","):
        found |= {entry.strip(), entry.rpartition(":")[2].strip()}
    return frozenset(text for text in found if len(text) >= _LEAST_LENGTH)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with every secret in it replaced."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    return text


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return url
