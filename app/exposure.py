"""Who can reach the server, and whether that is meant: without API keys, this machine alone."""

from __future__ import annotations

import ipaddress

from app.errors import ConfigurationError
from app.settings import Settings


def is_loopback(host: str | None) -> bool:
    """Return whether `host` (an address or a name; None: a socket file) can be reached from this machine alone."""
    if host is None or host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def check_exposure(settings: Settings) -> None:
    """Return if the server may listen where the settings say.

    Raises
    ------
    ConfigurationError
        If others could reach it, there are no API keys, and nobody said that this is meant.
    """
    if is_loopback(settings.host) or settings.api_keys or settings.allow_anonymous:
        return
    raise ConfigurationError(
        f"on {settings.host} everyone who can reach this machine could use Duetto and see all jobs. Make a key with "
        "`duetto key NAME` and put its entry into DUETTO_API_KEYS; or, where something else decides who gets "
        "through, set DUETTO_ALLOW_ANONYMOUS=1; or listen on this machine alone: --host 127.0.0.1"
    )
