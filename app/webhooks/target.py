"""What a ``webhook_url`` may be. Where its name leads is looked at each time that something is sent there."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError
from pydantic_core import Url

from app.errors import UnusableWebhook
from app.webhooks.address import Network, is_allowed

MOST_CHARACTERS: Final = 1000
_SCHEMES: Final = ("https", "http")
_WANTED: Final = "wanted is an address such as https://music.example/hooks/duetto"


def parse_target(text: str, allowed: Sequence[Network] = ()) -> str:
    """Return the URL that `text` is, normalised by the WHATWG's URL standard: ASCII, each address written one way.

    Parameters
    ----------
    text : what the user sent
    allowed : the networks that the operator allows besides public ones

    Raises
    ------
    UnusableWebhook
        If it is none, not http or https, too long, holds credentials or a fragment, or names an address that nothing
        is sent to.
    """
    try:
        # The standard drops line breaks and tabs, which nobody means to send.
        url = Url(text if text.isprintable() else "")
    except ValidationError as error:
        raise UnusableWebhook(f"`webhook_url` is no URL; {_WANTED}") from error
    if url.scheme not in _SCHEMES or not url.host:
        raise UnusableWebhook(f"`webhook_url` begins with neither https:// nor http://; {_WANTED}")
    if url.fragment is not None:
        raise UnusableWebhook("`webhook_url` has a fragment (#...), which is never sent to a server; leave it out")
    if url.username is not None or url.password is not None:
        raise UnusableWebhook(
            "`webhook_url` holds a user name or a password; leave them out and check the signature "
            "(Standard Webhooks) instead, or put a token into the path"
        )
    if url.port == 0:
        raise UnusableWebhook("`webhook_url` names port 0; ports are 1 to 65535")
    _check_host(url.host, allowed)
    normalised = str(url)
    if len(normalised) > MOST_CHARACTERS:
        raise UnusableWebhook(
            f"`webhook_url` has {len(normalised)} characters, percent-encoded; at most {MOST_CHARACTERS} are taken"
        )
    return normalised


def host_of(url: str) -> str:
    """Return the name or address in a URL that `parse_target` returned; an IPv6 address without brackets."""
    return (Url(url).host or "").strip("[]")


def _check_host(host: str, allowed: Sequence[Network]) -> None:
    name = host.strip("[]").removesuffix(".")
    # Where a name for this machine leads needs no resolver.
    is_own_name = name == "localhost" or name.endswith(".localhost")
    try:
        address = ipaddress.ip_address("127.0.0.1" if is_own_name else name)
    except ValueError:
        return  # a name
    if not is_allowed(address, allowed):
        raise UnusableWebhook(
            f"`webhook_url`: {name} is an address of a private network or of this machine, and webhooks go to public "
            "ones only; the server's operator can allow a network with DUETTO_WEBHOOK_ALLOW_PRIVATE"
        )
