"""Signatures of webhooks, by the Standard Webhooks specification (version 1.0.0): HMAC-SHA256 with a shared secret.

A secret is ``whsec_`` and the base64 of 24 to 64 random bytes. While one replaces another there are two,
and everything is signed with both.

Where API keys are used, each owner has a secret of their own, derived from the server's: who checks signatures
with theirs cannot make one that another would take for the server's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr

from app.errors import ConfigurationError

PREFIX: Final = "whsec_"
_NEW_SECRET_BYTES: Final = 32
_LEAST_BYTES: Final = 24
_MOST_BYTES: Final = 64
# So that the derived key is of no use for anything else that may be derived from the server's one day.
_OWNER_CONTEXT: Final = "duetto webhooks of "


def make_secret() -> str:
    """Return a new secret, for DUETTO_WEBHOOK_SECRET and for those who check signatures."""
    return to_text(secrets.token_bytes(_NEW_SECRET_BYTES))


def to_text(key: bytes) -> str:
    """Return a key as people hand it on: ``whsec_...``."""
    return PREFIX + base64.b64encode(key).decode("ascii")


def key_of(server_key: bytes, owner: str | None) -> bytes:
    """Return the key for the jobs of an API key's owner; None: of a server without API keys, the server's own."""
    if owner is None:
        return server_key
    return hmac.new(server_key, f"{_OWNER_CONTEXT}{owner}".encode(), hashlib.sha256).digest()


def parse_secrets(setting: SecretStr | None) -> tuple[bytes, ...]:
    """Return the keys of DUETTO_WEBHOOK_SECRET: one or several secrets, with spaces between. Empty if it is unset.

    Raises
    ------
    ConfigurationError
        If one is no secret. The message names its place, never its text.
    """
    keys = []
    for place, text in enumerate(setting.get_secret_value().split() if setting is not None else (), start=1):
        try:
            key = base64.b64decode(text.removeprefix(PREFIX), validate=True) if text.startswith(PREFIX) else b""
        except (binascii.Error, ValueError):
            key = b""
        if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
            raise ConfigurationError(
                f"DUETTO_WEBHOOK_SECRET, entry {place}: wanted {PREFIX} and the base64 of {_LEAST_BYTES} to "
                f"{_MOST_BYTES} random bytes; `duetto webhook-secret` makes one. Several have spaces between"
            )
        keys.append(key)
    return tuple(keys)


def signed_headers(keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Return the three header fields of a webhook.

    Parameters
    ----------
    keys : at least one; one signature each
    message_id : the same each time that this message is sent
    timestamp_s : when it is sent, in seconds since the epoch
    body : what is sent
    """
    signed = b"%s.%d.%s" % (message_id.encode("ascii"), timestamp_s, body)
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    signatures = " ".join(f"v1,{base64.b64encode(digest).decode('ascii')}" for digest in digests)
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp_s), "webhook-signature": signatures}
