"""Which addresses a webhook may be sent to: public ones, and what the operator allows besides.

Whoever posts a job chooses where the service sends a request. Were every address taken, they could reach what only
this machine or its network can: databases, routers, a cloud's metadata (SSRF). So the rule is about addresses,
not names, and is applied to the very address that a connection is made to (worker/webhooks/connection.py).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from app.errors import ConfigurationError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# The IANA registries of special-purpose addresses, written out: `is_global` of the standard library changes from one
# release of Python to the next.
_SPECIAL: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a provider's customers (CGNAT)
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a public address by which Azure's machines reach their own host
        "169.254.0.0/16",  # link-local, and with it the metadata services of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays from 6to4, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # protocol assignments, Teredo (an IPv4 address inside) among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)
# All of IPv6 that is given out to networks. Outside of it lie loopback, unique local, link-local and multicast
# addresses, and those with an IPv4 address inside: mapped, compatible and NAT64.
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")


def is_allowed(address: Address, allowed: Sequence[Network] = ()) -> bool:
    """Return whether a webhook may be sent to `address`: it is public, or in one of the networks `allowed`."""
    if any(address in network for network in allowed):
        return True
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in _SPECIAL)


def parse_networks(text: str | None) -> tuple[Network, ...]:
    """Return the networks of DUETTO_WEBHOOK_ALLOW_PRIVATE: ``address/bits``, with commas between.

    Raises
    ------
    ConfigurationError
        If an entry is none.
    """
    networks = []
    for entry in filter(None, map(str.strip, (text or "").split(","))):
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError as error:
            raise ConfigurationError(
                f"DUETTO_WEBHOOK_ALLOW_PRIVATE: {entry!r} is no network; "
                "wanted are networks such as 10.1.0.0/16 or fd00:1::/32, with commas between"
            ) from error
    return tuple(networks)
