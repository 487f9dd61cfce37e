"""What a tenant names is posted to only where it is the world's, once, and within bounds."""

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.hook_receiver import LOOPBACK, Receiver
from tests.patience import PATIENCE, soon

from pumice.host.outbound import NotReachable, Outbound
from pumice.model.errors import Retryable


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def resolves_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let each question to the name server have the next of these answers; what was asked."""
    asked, left = list[str](), list(answers)

    def look(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return asked


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254",
        "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::",
    ],
)  # fmt: skip
def test_what_is_not_the_worlds_is_not_posted_to(address: str) -> None:
    assert not Outbound().permits(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_what_is_the_worlds_is(address: str) -> None:
    assert Outbound().permits(ip_address(address))


def test_an_operator_allows_networks_and_denies_some_that_are_public() -> None:
    denied = ip_network("10.9.0.0/16"), ip_network("8.8.8.0/24")
    chosen = Outbound(allow=(ip_network("10.0.0.0/8"),), deny=denied)
    assert chosen.permits(ip_address("10.1.1.1")) and chosen.permits(ip_address("::ffff:10.1.1.1"))
    for address in ("10.9.1.1", "::ffff:10.9.1.1", "8.8.8.8", "64:ff9b::808:808"):
        assert not chosen.permits(ip_address(address))


SPELLINGS = (
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost"),
    *("[::1]", "[::ffff:127.0.0.1]", "nowhere.invalid"),
)


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_the_loopback_is_reached_and_a_name_that_is_none_is_told_alike(
    receiver: Receiver, host: str
) -> None:
    with pytest.raises(NotReachable, match="no address that may be reached"):
        await Outbound().post(f"http://{host}:{receiver.port}/x", {}, b"{}")
    assert not receiver.requests


async def test_no_answer_of_a_name_server_puts_another_address_in_the_place_of_one_that_was_judged(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolves_to(monkeypatch, ["127.0.0.1"], ["169.254.169.254"])
    assert await LOOPBACK.post(f"http://rebinds.example:{receiver.port}/x", {}, b"{}") == 204
    assert asked == ["rebinds.example"], "it is asked once"
    [(_, headers, _)] = receiver.requests
    assert headers["host"] == f"rebinds.example:{receiver.port}"
    with pytest.raises(NotReachable):
        await LOOPBACK.post(f"http://rebinds.example:{receiver.port}/x", {}, b"{}")


async def test_of_several_addresses_only_those_that_may_be_reached_are(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves_to(monkeypatch, ["169.254.169.254", "10.0.0.1", "127.0.0.1"])
    assert await LOOPBACK.addresses("mixed.example", 80) == ["127.0.0.1"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    def redirect(handler: Any) -> None:
        handler.send_response(status)
        handler.send_header("location", receiver.url("/metadata"))
        handler.send_header("content-length", "0")
        handler.end_headers()

    receiver.paths["/x"] = redirect
    assert await LOOPBACK.post(receiver.url("/x"), {}, b"{}") == status
    assert not receiver.at("/metadata")


async def test_the_environments_proxy_is_not_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await LOOPBACK.post(receiver.url("/x"), {}, b"{}") == 204


def drips(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(1000):
        handler.wfile.write(f"x-{number}: y\r\n".encode())
        handler.wfile.flush()
        time.sleep(0.02)


def goes_on_and_on(handler: Any) -> None:
    for _ in range(1000):
        handler.wfile.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        handler.wfile.flush()
        time.sleep(0.02)


def is_silent(_: Any) -> None:
    time.sleep(3)


@pytest.mark.parametrize("answer", [drips, goes_on_and_on, is_silent])
async def test_a_server_that_does_not_come_to_an_end_is_left_at_the_limit(
    receiver: Receiver, answer: Callable[[Any], None]
) -> None:
    receiver.paths["/x"] = answer
    hasty = Outbound(allow=LOOPBACK.allow, seconds=0.3)
    with pytest.raises(Retryable, match=r"within 0\.3 seconds"):
        await soon(hasty.post(receiver.url("/x"), {}, b"{}"))


async def test_of_a_huge_answer_nothing_is_read(receiver: Receiver) -> None:
    sent = list[int]()
    stopped = threading.Event()

    def floods(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n")
        try:
            while True:
                sent.append(handler.wfile.write(b"x" * 65536))
        except OSError:
            stopped.set()

    receiver.paths["/x"] = floods
    assert await LOOPBACK.post(receiver.url("/x"), {}, b"{}") == 200
    await asyncio.to_thread(stopped.wait, PATIENCE)
    assert stopped.is_set()
    assert sum(sent) < 64 * 1024 * 1024, "no more than what the kernel keeps"


async def test_headers_without_end_are_no_answer(receiver: Receiver) -> None:
    def floods(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 10_000_000)

    receiver.paths["/x"] = floods
    with pytest.raises(Retryable):
        await LOOPBACK.post(receiver.url("/x"), {}, b"{}")


async def test_what_a_server_says_is_in_no_error(receiver: Receiver) -> None:
    receiver.paths["/x"] = lambda handler: handler.wfile.write(b"SSH-2.0-internal-banner\r\n\r\n")
    with pytest.raises(Retryable) as refused:
        await LOOPBACK.post(receiver.url("/x?token=word"), {}, b"{}")
    assert "banner" not in str(refused.value) and "word" not in str(refused.value)


async def test_where_nobody_listens_waiting_may_help() -> None:
    gone = Receiver()
    gone.close()
    with pytest.raises(Retryable, match="cannot be reached"):
        await LOOPBACK.post(gone.url("/x"), {}, b"{}")


async def test_certificates_are_verified(receiver: Receiver, tmp_path: Path) -> None:
    certificate, key = tmp_path / "it.pem", tmp_path / "it.key"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, [*made, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    url = f"https://localhost:{receiver.port}/x"
    with pytest.raises(Retryable, match="not trusted"):
        await LOOPBACK.post(url, {}, b"{}")
    trusting = Outbound(allow=LOOPBACK.allow, cacert=certificate)
    assert await trusting.post(url, {}, b"{}") == 204
    with pytest.raises(Retryable, match="not trusted"):
        await trusting.post(f"https://127.0.0.1:{receiver.port}/x", {}, b"{}")
