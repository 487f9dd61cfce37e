"""Post to an address that a tenant has named, and reach nothing that is not the world's.

Whoever names an address may name ours: the loopback, a cloud's metadata, a machine behind the firewall. So a
name is resolved once, every address is judged, and the connection is made to one that was judged: no answer of
a name server can put another in its place. No redirect is followed, no proxy of the environment is asked,
nothing of the answer but its status is read, and all of it has one limit.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any

from pumice.host.thread import in_thread
from pumice.model.errors import PumiceError, Retryable

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
_WRAPS_IPV4 = IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96")
"""Networks whose addresses a translator may turn into the IPv4 address at their end (RFC 6052, RFC 4291)."""
MOST_ADDRESSES = 4
"""How many addresses of a name are tried."""


class NotReachable(PumiceError):
    """The address is one that is not posted to."""


@dataclass(frozen=True)
class Outbound:
    """Posts, within ``seconds``, to what is public or in the networks ``allow``, and not in ``deny``."""

    allow: Sequence[Network] = ()
    deny: Sequence[Network] = ()
    seconds: float = 10.0
    cacert: Path | None = None
    """An authority that is trusted beside the system's."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, compare=False, repr=False)

    def permits(self, address: Address) -> bool:
        """Whether this may be posted to."""
        if any(address in network for network in self.deny if network.version == address.version):
            return False
        if any(address in network for network in self.allow if network.version == address.version):
            return True
        if isinstance(address, IPv6Address) and (inner := _inside(address)) is not None:
            return self.permits(inner)
        is_public = address.is_global and not (address.is_multicast or address.is_reserved)
        return is_public and not getattr(address, "is_site_local", False) and not _is_ours(address)

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self.cacert:
            context.load_verify_locations(self.cacert)
        return context

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer. Raises ``NotReachable``, or ``Retryable`` if there is no answer in time."""
        try:
            async with asyncio.timeout(self.seconds):
                return await self._post(url, headers, body)
        except TimeoutError:
            raise Retryable(f"The server did not answer within {self.seconds:g} seconds.") from None

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        import httpcore  # here, because only a delivery needs it

        trusted = await in_thread(lambda: self._trusted) if url.startswith("https:") else None
        backend: Any = _backend(self)
        pool = httpcore.AsyncConnectionPool(ssl_context=trusted, network_backend=backend, max_connections=1)
        told = [(name.encode(), value.encode()) for name, value in headers.items()]
        try:
            async with pool, pool.stream("POST", url, headers=told, content=body) as answer:
                return int(answer.status)
        except (httpcore.TimeoutException, httpcore.NetworkError, OSError) as error:
            raise Retryable(_trouble(error)) from None
        except httpcore.ProtocolError:
            raise Retryable("What the server answered is no HTTP.") from None

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be posted to. Raises ``NotReachable``, also for a name that is none.

        Which of both it is, is not told: it would tell what names there are within.
        """
        look = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = [ip_address(one[4][0]) for one in await in_thread(look)]
        except (OSError, UnicodeError, ValueError):
            found = []
        good = [str(address) for address in dict.fromkeys(found) if self.permits(address)]
        if not good:
            raise NotReachable(NOWHERE)
        return good[:MOST_ADDRESSES]


NOWHERE = (
    "The webhook's host has no address that may be reached: a public one, or one that the operator allows."
)


def _backend(outbound: Outbound) -> Any:
    """What connects for httpcore: to addresses that were judged, and to no other."""
    import httpcore

    class Judged(httpcore.AsyncNetworkBackend):
        def __init__(self) -> None:
            self.connects = httpcore.AnyIOBackend()

        async def connect_tcp(self, host: str, port: int, *args: Any, **more: Any) -> Any:
            error: Exception = NotReachable(NOWHERE)
            for address in await outbound.addresses(host, port):
                try:
                    return await self.connects.connect_tcp(address, port, *args, **more)
                except httpcore.NetworkError as refused:
                    error = refused
            raise error

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    return Judged()


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if address.teredo:
        return address.teredo[1]
    if any(address in network for network in _WRAPS_IPV4) and int(address) > 1:  # ::1 is the loopback's own
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _is_ours(address: Address) -> bool:
    """Whether it is an address of this machine, where our own APIs may be."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _trouble(error: Exception) -> str:
    """Why there was no answer, without a word of what the server has sent."""
    reasons = [error, error.__cause__, error.__context__]
    for reason in reasons:
        if isinstance(reason, ssl.SSLCertVerificationError):
            return f"The server's certificate is not trusted: {reason.verify_message}."
        if isinstance(reason, ssl.SSLError):
            return "The server does not speak TLS as it should."
    return "The server cannot be reached, or hung up."


def networks(words: Iterable[str]) -> tuple[Network, ...]:
    """Networks as settings name them: ``10.0.0.0/8``. Raises ``ValueError``."""
    from ipaddress import ip_network

    return tuple(ip_network(word) for word in words)
