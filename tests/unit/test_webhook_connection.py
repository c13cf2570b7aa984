"""One attempt at a time, against receivers that are slow, gone, garrulous or not who they say they are."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from app.webhooks.address import parse_networks
from app.webhooks.target import parse_target
from tests.unit.webhook_receiver import leading_to, receiving
from worker.webhooks.connection import Answer, WebhookConnector

LOOPBACK = parse_networks("127.0.0.0/8, ::1/128")
NAMED = (LOOPBACK, leading_to("127.0.0.1"))


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that the connector trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_tls_is_checked_against_the_name_and_not_the_address(authority: trustme.CA) -> None:
    asked: list[str] = []
    context = server_context(authority, "hooks.example")
    context.sni_callback = lambda *heard: asked.append(str(heard[1]))
    with receiving(tls=context) as receiver:
        connector = WebhookConnector(*NAMED)
        assert connector.post(receiver.url("hooks.example", scheme="https"), {"A": "b"}, b"{}") == Answer(204)
        assert connector.post(receiver.url("other.example", scheme="https"), {}, b"{}") == Answer(error="tls_failed")
    assert asked == ["hooks.example", "other.example"]
    assert [(headers["host"], headers["a"]) for _, headers, _ in receiver.seen] == [
        (f"hooks.example:{receiver.port}", "b")
    ]


def test_a_certificate_that_nobody_vouches_for() -> None:
    with receiving(tls=server_context(trustme.CA(), "hooks.example")) as receiver:
        answer = WebhookConnector(*NAMED).post(receiver.url("hooks.example", scheme="https"), {}, b"{}")
    assert (answer.error, receiver.seen) == ("tls_failed", [])


def test_tls_where_there_is_none() -> None:
    with receiving() as receiver:
        answer = WebhookConnector(*NAMED).post(receiver.url("hooks.example", scheme="https"), {}, b"{}")
    assert answer == Answer(error="tls_failed")


@pytest.mark.parametrize(
    ("text", "path"),
    [("/a;b/c?d=e&f", "/a;b/c?d=e&f"), ("", "/"), ("?x", "/?x"), ("/a/../b", "/b"), ("/ü %41", "/%C3%BC%20%41")],
)
def test_the_path_arrives_as_it_was_given(text: str, path: str) -> None:
    with receiving() as receiver:
        url = parse_target(receiver.url(path=text), LOOPBACK)
        assert WebhookConnector(LOOPBACK).post(url, {}, b"{}") == Answer(204)
    assert receiver.seen[0][0] == path


def test_an_address_of_version_6() -> None:
    with receiving("::1") as receiver:
        url = parse_target(receiver.url("[::1]"), LOOPBACK)
        assert WebhookConnector(LOOPBACK).post(url, {}, b"{}") == Answer(204)
    assert receiver.seen[0][1]["host"] == f"[::1]:{receiver.port}"


def test_nobody_listens() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        assert WebhookConnector(LOOPBACK).post(url, {}, b"{}") == Answer(error="connection_failed")


def test_an_address_in_the_url_needs_no_resolver_but_the_rule() -> None:
    with receiving() as receiver:
        assert WebhookConnector(LOOPBACK).post(receiver.url(), {}, b"{}") == Answer(204)
        for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"):
            assert WebhookConnector().post(receiver.url(host), {}, b"{}") == Answer(error="address_refused")
    assert len(receiver.seen) == 1


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    with receiving("127.0.0.2") as receiver:
        connector = WebhookConnector(LOOPBACK, leading_to("127.0.0.1", "127.0.0.2"))
        assert connector.post(receiver.url("two.example"), {}, b"{}") == Answer(204)


def test_of_several_addresses_those_that_are_refused_are_left_out() -> None:
    resolve = leading_to("127.0.0.3", "::1", "127.0.0.2")
    with receiving("127.0.0.2") as outside, receiving("127.0.0.3", outside.port) as inside:
        connector = WebhookConnector(parse_networks("127.0.0.2/32"), resolve)
        assert connector.post(outside.url("both.example"), {}, b"{}") == Answer(204)
    assert (len(outside.seen), inside.seen) == (1, [])


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "not known"), UnicodeError("label too long")])
def test_a_name_that_leads_nowhere(failure: Exception) -> None:
    def resolve(host: str, port: int) -> tuple[str, ...]:
        raise failure

    assert WebhookConnector(LOOPBACK, resolve).post("http://no.example/", {}, b"") == Answer(error="name_not_found")


@pytest.mark.parametrize("found", [(), ("10.0.0.1",), ("0.0.0.0", "::1%lo", "fe80::1%eth0")])  # noqa: S104
def test_a_name_that_leads_inside(found: tuple[str, ...]) -> None:
    connector = WebhookConnector((), leading_to(*found))
    assert connector.post("http://in.example/", {}, b"") == Answer(error="address_refused")


def test_an_answer_that_never_comes() -> None:
    with receiving() as receiver:
        receiver.gate = threading.Event()
        assert WebhookConnector(LOOPBACK, deadline_s=0.3).post(receiver.url(), {}, b"{}") == Answer(error="timeout")


@pytest.fixture
def raw() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


def test_an_answer_that_trickles_ends_at_the_deadline(raw: socket.socket) -> None:
    """Each byte comes in time, the whole never does."""
    outcome: list[Answer] = []
    connector = WebhookConnector(LOOPBACK, deadline_s=0.5)
    url = f"http://127.0.0.1:{raw.getsockname()[1]}/"
    sender = threading.Thread(target=lambda: outcome.append(connector.post(url, {}, b"{}")))
    sender.start()
    connection, _ = raw.accept()
    with connection:
        connection.settimeout(30)
        pause = threading.Event()
        try:
            while sender.is_alive():
                connection.sendall(b"H")
                pause.wait(0.05)
        except ConnectionError:
            pass
        sender.join(30)
    assert outcome == [Answer(error="timeout")]


def test_what_is_no_http(raw: socket.socket) -> None:
    def answer() -> None:
        connection, _ = raw.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    outcome = WebhookConnector(LOOPBACK).post(f"http://127.0.0.1:{raw.getsockname()[1]}/", {}, b"{}")
    thread.join()
    assert outcome == Answer(error="protocol_error")


def test_a_long_answer_is_not_read(raw: socket.socket) -> None:
    sent = threading.Event()
    whole = threading.Event()

    def answer() -> None:
        connection, _ = raw.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            sent.set()
            try:
                for _ in range(1000):
                    connection.sendall(b"x" * 1_000_000)
            except ConnectionError:
                return
            whole.set()

    thread = threading.Thread(target=answer)
    thread.start()
    outcome = WebhookConnector(LOOPBACK).post(f"http://127.0.0.1:{raw.getsockname()[1]}/", {}, b"{}")
    thread.join()
    assert outcome == Answer(200)
    assert sent.is_set()
    assert not whole.is_set()


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver, receiving("127.0.0.2") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url("127.0.0.2", ""))
        monkeypatch.setenv("ALL_PROXY", proxy.url("127.0.0.2", ""))
        assert WebhookConnector(LOOPBACK).post(receiver.url(), {}, b"{}") == Answer(204)
    assert proxy.seen == []
