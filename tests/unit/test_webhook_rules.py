"""Where webhooks may go, which URLs are taken, and how they are signed."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from app.errors import ConfigurationError, UnusableWebhook
from app.webhooks.address import is_allowed, parse_networks
from app.webhooks.signature import make_secret, parse_secrets, signed_headers
from app.webhooks.target import MOST_CHARACTERS, host_of, parse_target

INTRANET = parse_networks("10.1.0.0/16, fd00:1::/32")
ADDRESSES = st.ip_addresses()
V4 = st.ip_addresses(v=4)


@given(address=ADDRESSES)
def test_nothing_goes_to_an_address_that_is_not_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    is_special = (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
        or address.is_unspecified
    )
    assert not (is_special and is_allowed(address))


@given(address=V4)
def test_public_addresses_are_taken(address: ipaddress.IPv4Address) -> None:
    is_odd = any(address in ipaddress.ip_network(odd) for odd in ("192.88.99.0/24", "168.63.129.16/32", "192.0.0.0/24"))
    if address.is_global and not address.is_multicast and not is_odd:
        assert is_allowed(address)


@given(address=V4)
def test_an_address_inside_another_is_no_way_round(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    mapped, compatible = ipaddress.IPv6Address((0xFFFF << 32) | number), ipaddress.IPv6Address(number)
    nat64 = ipaddress.IPv6Address((0x64FF9B << 96) | number)
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1)
    teredo = ipaddress.IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF))
    assert not any(map(is_allowed, (mapped, compatible, nat64, six_to_four, teredo)))


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.31.0.1", "192.168.1.1", "169.254.169.254",  # noqa: S104
        "100.64.0.1", "100.100.100.200", "192.0.0.192", "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1",
        "168.63.129.16", "::", "::1", "fe80::1", "fd00:ec2::254", "ff02::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
        "64:ff9b:1::1", "2001:db8::1", "2002:7f00:1::", "fec0::1", "5f00::1",
    ],
)  # fmt: skip
def test_addresses_that_lead_inside(text: str) -> None:
    assert not is_allowed(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"])
def test_addresses_that_lead_outside(text: str) -> None:
    assert is_allowed(ipaddress.ip_address(text))


@given(address=ADDRESSES)
def test_the_operator_may_allow_networks_and_allows_no_more(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    inside = any(address in network for network in INTRANET)
    assert is_allowed(address, INTRANET) == (inside or is_allowed(address))
    assert is_allowed(ipaddress.ip_address("10.1.2.3"), INTRANET)
    assert not is_allowed(ipaddress.ip_address("10.2.2.3"), INTRANET)


@pytest.mark.parametrize("text", ["10.0.0.0/33", "intranet", "10.1.2.3/8", "10.0.0.0/8;fd00::/8"])
def test_networks_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"DUETTO_WEBHOOK_ALLOW_PRIVATE: .* is no network; wanted"):
        parse_networks(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://music.example/hook", "https://music.example/hook"),
        ("HTTPS://Music.Example:8443/a?b=c", "https://music.example:8443/a?b=c"),
        ("http://é.example/ü", "http://xn--9ca.example/%C3%BC"),
        ("http://8.8.8.8/", "http://8.8.8.8/"),
        ("http://[2606:4700::1111]:81/x", "http://[2606:4700::1111]:81/x"),
        ("http://10.1.0.9/", "http://10.1.0.9/"),
        ("http://hooks_2/", "http://hooks_2/"),
        ("https://a.example", "https://a.example/"),
        ("http://h\\evil/", "http://h/evil/"),
    ],
)
def test_urls_that_are_taken(text: str, url: str) -> None:
    assert parse_target(text, INTRANET) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("music.example/hook", "no URL"), ("//music.example/", "no URL"), ("ftp://music.example/", "neither https"),
        ("file:///etc/passwd", "neither https"), ("gopher://127.0.0.1:6379/_x", "neither https"),
        ("https://u:p@music.example/", "user name or a password"), ("https://u@music.example/", "user name"),
        ("https://:p@music.example/", "password"),
        ("https://music.example/#part", "fragment"), ("https://music.example/#", "fragment"),
        ("https://", "no URL"), ("https://a b/", "no URL"), ("http://1.2.3.4.5/", "no URL"), ("http://h:x/", "no URL"),
        ("http://music.example:0/", "port"), ("http://music.example:70000/", "no URL"),
        ("http://h\x00/", "no URL"), ("http://h\n/", "no URL"), ("http://[fe80::1%25eth0]/", "no URL"),
        ("http://127.0.0.1/", "private network"), ("http://localhost/", "private network"),
        ("http://redis.localhost:6379/", "private network"), ("http://127.0.0.1./", "private network"),
        ("http://2130706433/", "127.0.0.1 is an address of a private network"), ("http://0x7f.1/", "private network"),
        ("http://127.1/", "private network"), ("http://0177.0.0.1/", "private network"),
        ("http://%31%32%37.0.0.1/", "private network"), ("http://127。0。0。1/", "private network"),
        ("http://[::1]/", "private network"), ("http://[::ffff:127.0.0.1]/", "private network"),
        ("http://[fe80::1]/", "private network"), ("http://169.254.169.254/latest/", "DUETTO_WEBHOOK_ALLOW_PRIVATE"),
        ("https://music.example/" + "a" * MOST_CHARACTERS, "at most 1000"),
        ("https://music.example/" + "ü" * (MOST_CHARACTERS // 2), "percent-encoded"),
    ],
)  # fmt: skip
def test_urls_that_are_not(text: str, reason: str) -> None:
    with pytest.raises(UnusableWebhook, match=reason):
        parse_target(text, INTRANET)


@given(text=st.text(max_size=60).map(lambda tail: f"http://{tail}"))
def test_any_text_is_a_url_of_ascii_or_refused(text: str) -> None:
    with contextlib.suppress(UnusableWebhook):
        url = parse_target(text)
        assert re.fullmatch(r"[\x21-\x7e]+", url)
        assert parse_target(url) == url
        assert host_of(url)
        assert url.split("/")[2].startswith((host_of(url), f"[{host_of(url)}]")), "what the Host header says"


@given(body=st.text(), timestamp=st.integers(min_value=0, max_value=2**40), key=st.binary(min_size=24, max_size=64))
def test_signatures_are_those_of_the_specification(body: str, timestamp: int, key: bytes) -> None:
    headers = signed_headers([key], "msg_1", timestamp, body.encode("utf-8", "surrogatepass"))
    if timestamp < 2**37:  # what the oracle's clock can tell
        oracle = Webhook(key).sign("msg_1", datetime.fromtimestamp(timestamp, UTC), body)
        assert headers["webhook-signature"] == oracle
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", str(timestamp))


def test_both_secrets_of_a_rotation_are_good() -> None:
    old, new, other = make_secret(), make_secret(), make_secret()
    body = json.dumps({"type": "job.failed", "data": "é"}, ensure_ascii=False).encode()
    now = int(datetime.now(UTC).timestamp())
    headers = signed_headers(parse_secrets(SecretStr(f"{new} {old}")), "msg_1", now, body)
    for secret in (old, new):
        assert Webhook(secret).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(body + b" ", headers)


@pytest.mark.parametrize("text", ["hunter2", "whsec_", "whsec_AAAA", "whsec_%%%", "whsec_" + "A" * 200, "whsec_é" * 8])
def test_a_secret_that_is_none_is_not_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"DUETTO_WEBHOOK_SECRET, entry 2: wanted whsec_") as caught:
        parse_secrets(SecretStr(f"{make_secret()} {text}"))
    assert text == "whsec_" or text not in str(caught.value)


def test_no_secret_is_no_error() -> None:
    assert parse_secrets(None) == parse_secrets(SecretStr(" ")) == ()
