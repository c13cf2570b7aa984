"""API keys: made here, given to a person once, known to the server by their SHA-256 alone.

A key is 256 random bits, so a plain hash is as good as a slow one: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Final

from app.errors import ConfigurationError

PREFIX: Final = "duetto_"  # lets a leaked key be recognised for what it is
_KEY_BYTES: Final = 32
_ENTRY: Final = re.compile(r"([a-z0-9][a-z0-9._-]{0,39}):([0-9a-f]{64})")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
NAME_RULE: Final = "a name is 1 to 40 of a-z, 0-9, dot, underscore and hyphen, and begins with a letter or digit"


class Keyring:
    """The keys that a server takes, by their digests. False when there are none."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """`names`: the owner's name by the key's SHA-256 in hexadecimal digits."""
        self._names = dict(names)

    def __bool__(self) -> bool:
        return bool(self._names)

    def owner_of(self, key: str) -> str | None:
        """Return the name that `key` was made for, None if it is none of ours."""
        digest = _digest(key)
        owner = None
        # All are compared, each in constant time, so the time taken tells nothing.
        for known, name in self._names.items():
            if hmac.compare_digest(known, digest):
                owner = name
        return owner


def make_key() -> str:
    """Return a new key."""
    return PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def make_entry(name: str, key: str) -> str:
    """Return what DUETTO_API_KEYS holds for `key`: ``name:sha256``.

    Raises
    ------
    ConfigurationError
        If the name cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} cannot be the name of a key: {NAME_RULE}")
    return f"{name}:{_digest(key)}"


def parse_keyring(text: str | None) -> Keyring:
    """Return the keys of DUETTO_API_KEYS: entries ``name:sha256`` with commas between. A name may have several keys.

    Raises
    ------
    ConfigurationError
        If an entry is none. The message names its place, never its text: it may be a key, put there by mistake.
    """
    names: dict[str, str] = {}
    for place, entry in enumerate((text or "").split(","), start=1):
        if not entry.strip():
            continue
        match = _ENTRY.fullmatch(entry.strip())
        if match is None:
            raise ConfigurationError(
                f"DUETTO_API_KEYS, entry {place}: wanted name:sha256 as `duetto key NAME` prints it "
                f"(the entry, not the key); {NAME_RULE}"
            )
        names[match[2]] = match[1]
    return Keyring(names)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
