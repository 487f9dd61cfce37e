"""TLS served by the API: clients trust what clouds.yaml names, and a renewed certificate needs no restart."""

import asyncio
import datetime
import ipaddress
import json
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.patience import PATIENCE

from pumice.app import checks, monitoring, tls
from pumice.app.limits import Http
from pumice.app.settings import Settings
from pumice_installation import VOLUMES, Installation, state_directory

FAKE = {
    "PUMICE_COMPUTE__DRIVER": "fake",
    "PUMICE_BACKENDS": json.dumps({"fake": {"driver": "fake", "target": "fake"}}),
}


def write_certificate(directory: Path, name: str = "here") -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    at = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(at)
        .not_valid_after(at + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return certificate_file, key_file


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_certificate(tmp_path)


@pytest.fixture
def pumice(files: tuple[Path, Path]) -> Iterator[Installation]:
    with state_directory() as state:
        tls_files = {"PUMICE_API__CERTIFICATE": str(files[0]), "PUMICE_API__KEY": str(files[1])}
        one = Installation(state, **FAKE, **tls_files)
        one.http = client(one, files[0])
        try:
            one.launch("serve")
            one.log_in()
            yield one
        finally:
            one.close()


def client(pumice: Installation, trusted: Path) -> httpx.Client:
    context = ssl.create_default_context(cafile=trusted)
    return httpx.Client(base_url=f"https://127.0.0.1:{pumice.port}", verify=context, timeout=PATIENCE)


def serial(pumice: Installation) -> int:
    """Of the certificate that a new connection is shown."""
    text = ssl.get_server_certificate(("127.0.0.1", pumice.port))
    return x509.load_pem_x509_certificate(text.encode()).serial_number


def test_clients_find_their_way_by_https_alone(pumice: Installation, files: tuple[Path, Path]) -> None:
    clouds = yaml.safe_load((pumice.state_dir / "clouds.yaml").read_text())["clouds"]
    assert clouds["pumice"]["auth"]["auth_url"] == f"https://127.0.0.1:{pumice.port}/identity"
    assert clouds["pumice"]["cacert"] == str(files[0])
    catalog = pumice.call("GET", "/identity/v3/auth/catalog")["catalog"]
    urls = {endpoint["url"] for service in catalog for endpoint in service["endpoints"]}
    assert urls and all(url.startswith("https://") for url in urls)
    assert pumice.call("GET", VOLUMES) == {"volumes": []}
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{pumice.port}/healthcheck")


def test_a_renewed_certificate_is_served_after_sighup_and_a_broken_one_never(
    pumice: Installation, files: tuple[Path, Path]
) -> None:
    first = serial(pumice)
    write_certificate(files[0].parent, "renewed")
    pumice.processes["serve"].send_signal(signal.SIGHUP)
    pumice.wait(lambda: serial(pumice) != first, "the old certificate is served")
    second = serial(pumice)
    files[1].write_text("no key at all")
    pumice.processes["serve"].send_signal(signal.SIGHUP)
    pumice.wait(lambda: "certificate.refused" in pumice.log("serve"), "a broken key is not told")
    assert serial(pumice) == second
    assert pumice.http.get(VOLUMES).status_code == 200


async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    """An application that is never asked."""


def said_to(port: int, trusted: ssl.SSLContext | None, sent: bytes) -> bytes:
    """What comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain:
        if trusted is None:
            return plain.recv(100)
        with trusted.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
            wrapped.sendall(sent)
            return wrapped.recv(100)


async def test_the_limits_of_connections_hold_under_tls_and_in_its_handshake(files: tuple[Path, Path]) -> None:
    serving = tls.context(Settings(api={"certificate": files[0], "key": files[1]}))
    trusted = ssl.create_default_context(cafile=files[0])
    server = monitoring.server(nothing, Http(head_seconds=3.0), serving)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.002)
        port = listening.getsockname()[1]
        half = await asyncio.to_thread(said_to, port, None, b"")
        long = await asyncio.to_thread(said_to, port, trusted, b"GET / HTTP/1.1\r\nX: " + b"y" * 60_000)
        late = await asyncio.to_thread(said_to, port, trusted, b"GET / HTTP/1.1\r\nX: ")
        server.should_exit = True
        await task
    assert half == b"", "half a handshake is cut off"
    assert long.startswith(b"HTTP/1.1 431 ")
    assert late.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ({"key": "{key}"}, "without a certificate"),
        ({"certificate": "{directory}/none.pem", "key": "{key}"}, "No such file"),
        ({"certificate": "{key}", "key": "{key}"}, "cannot be used"),
        ({"certificate": "{certificate}"}, "cannot be used"),
        ({"cacert": "{directory}/none.pem"}, "No such file"),
        ({"certificate": "{certificate}", "key": "{key}", "cacert": "{key}"}, "holds no certificates"),
        ({"certificate": "{certificate}", "key": "{key}", "public_url": "http://here"}, "only https is served"),
        ({"certificate": "{certificate}", "key": "{key}", "public_url": "https://here"}, None),
        ({"cacert": "{certificate}", "public_url": "http://here"}, None),
        ({"certificate": "{certificate}", "key": "{key}"}, None),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_starts(
    files: tuple[Path, Path], api: dict[str, str], said: str | None
) -> None:
    names: dict[str, Any] = {"certificate": files[0], "key": files[1], "directory": files[0].parent}
    told = checks.wrong(Settings(api={name: text.format(**names) for name, text in api.items()}))
    assert (said in " ".join(told)) if said else told == []


def test_an_authority_that_everybody_knows_is_not_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert tls.authority(Settings(api={"certificate": files[0]})) == files[0]
    assert tls.authority(Settings(api={"certificate": files[0], "cacert": tmp_path})) == tmp_path
    assert tls.authority(Settings()) is None
