"""``/healthcheck`` and ``/metrics``: what a monitor asks of a process, without a token.

Each role answers both on a port of its own, which ``[metrics] ports`` names and which only this machine
reaches unless ``[metrics] host`` says otherwise. On the tenants' port there is ``/healthcheck`` alone, in two
words. A port that is taken is said in the log and stops nothing: what watches the work must never keep it from
being done.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import orjson
import structlog
import uvicorn

from pumice.app import health
from pumice.app.connections import limited
from pumice.app.limits import Http
from pumice.app.metrics import Metrics, build_info, gauge
from pumice.app.node import Node
from pumice.app.roles import Role
from pumice.app.settings import Settings
from pumice.app.sockets import BACKLOG, listening_socket
from pumice.model.errors import PumiceError
from pumice.model.volume import Pool
from pumice.store import clock, services
from pumice.store.columns import now
from pumice.store.database import MISSED
from pumice.store.inventory import Inventory, inventory
from pumice.store.operations import CLEANING
from pumice.store.queue_stats import QueueStats, queue_stats

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

logger = structlog.get_logger(__name__)

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_JSON = "application/json"
POOL: tuple[tuple[str, str, Callable[[Pool], float]], ...] = (
    ("pumice_pool_total_gib", "What a pool's disks hold.", lambda pool: pool.total_gb),
    ("pumice_pool_free_gib", "What of it is free.", lambda pool: pool.free_gb),
    ("pumice_pool_claimed_gib", "What is promised to volumes of it.", lambda pool: pool.claimed_gb),
    ("pumice_pool_volumes", "How many volumes are in a pool.", lambda pool: pool.volumes),
)
GOODBYE_SECONDS = 1.0
"""How long a client's goodbye is waited for under TLS: one that idles says none."""


class Monitoring:
    """The two pages of one process, as an ASGI application; ``for_tenants`` only whether it is well."""

    def __init__(self, node: Node, *, for_tenants: bool = False) -> None:
        self.node = node
        self.for_tenants = for_tenants
        self.metrics = node.metrics if isinstance(node.metrics, Metrics) and not for_tenants else None

    async def __call__(self, scope: MutableMapping[str, Any], _receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status, kind, body = await self._page(scope["path"].strip("/"))
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _page(self, path: str) -> tuple[int, str, bytes]:
        if path == "healthcheck":
            found = await health.look(self.node)
            status = 200 if found.well else 503
            if self.for_tenants:
                return status, "text/plain; charset=utf-8", b"OK" if found.well else b"NOT OK"
            return status, _JSON, orjson.dumps(found.parts)
        if path == "metrics" and self.metrics is not None:
            return 200, Metrics.content_type, self.metrics.text(await gauges(self.node))
        return 404, _JSON, orjson.dumps({"error": "There is nothing here."})


async def gauges(node: Node) -> "list[Metric]":
    """What can be read off at the moment. The log is asked by those that answer for the whole installation."""
    found = [build_info(node.roles, node.settings.host)]
    if node.roles != {Role.API}:
        at, hanging = time.monotonic(), dict[tuple[str, ...], float]()
        for left in node.drivers.bulkheads.left:
            hanging[left.place,] = max(hanging.get((left.place,), 0.0), at - left.since)
        found += [
            gauge("pumice_hanging_seconds", "The oldest call that hangs at a place.", ("place",), hanging),
            gauge(
                "pumice_worker_slots",
                "Operations this process carries at most at each place.",
                (),
                {(): node.runner.shares.workers},
            ),
            gauge(
                "pumice_worker_slots_in_use",
                "Operations in hand at the fullest place.",
                (),
                {(): node.runner.fullest},
            ),
        ]
    answers = True
    if node.roles & {Role.API, Role.SCHEDULER}:
        try:
            async with asyncio.timeout(health.ANSWER_SECONDS):
                found += of_log(await node.db.read(queue_stats, clock.time()))
                there = await node.db.read(inventory)
                found += of_inventory(there, node.ctx.tunables.service_down_seconds)
        except (TimeoutError, PumiceError):
            answers = False
        found.append(gauge("pumice_database_up", "Whether the log could be read.", (), {(): float(answers)}))
    return found


def of_log(found: list[QueueStats]) -> "list[Metric]":
    """The log's gauges."""
    numbers: dict[tuple[str, ...], float] = {}
    ages: dict[tuple[str, ...], float] = {}
    cleaning: dict[tuple[str, ...], float] = {}
    at = now()
    for some in found:
        key = some.kind, some.state
        numbers[key] = numbers.get(key, 0.0) + some.number
        age = max((at - some.oldest).total_seconds(), 0.0) if some.oldest else 0.0
        ages[some.place,] = max(ages.get((some.place,), 0.0), age)
        if some.state == CLEANING and some.settled_at:
            since = (at - some.settled_at).total_seconds()
            cleaning[some.place,] = max(cleaning.get((some.place,), 0.0), since)
    return [
        gauge("pumice_operations", "Operations under way.", ("kind", "state"), numbers),
        gauge(
            "pumice_queue_age_seconds",
            "How long nothing was written about the oldest operation that could go on at a place.",
            ("place",),
            ages,
        ),
        gauge(
            "pumice_cleaning_age_seconds",
            "How long the oldest operation that was told as failed still has something to undo at a place.",
            ("place",),
            cleaning,
        ),
    ]


def of_inventory(there: Inventory, down_seconds: float) -> "list[Metric]":
    """What there is, by status; what each pool has; who is heard of."""
    found = [
        gauge(
            f"pumice_{name}",
            f"How many {name} are in a status.",
            ("status",),
            {(status,): float(number) for status, number in numbers.items()},
        )
        for name, numbers in there.numbers.items()
    ]
    for name, meaning, read in POOL:
        values: dict[tuple[str, ...], float] = {(pool.name,): float(read(pool)) for pool in there.pools}
        found.append(gauge(name, meaning, ("pool",), values))
    up: dict[tuple[str, ...], float] = {}
    disabled: dict[tuple[str, ...], float] = {}
    for row in there.services:
        up[row["binary"], row["host"]] = float(services.is_up(row, down_seconds))
        disabled[row["binary"], row["host"]] = float(row["disabled"])
    who = "service", "host"
    found.append(gauge("pumice_service_up", "Whether a service was heard of lately.", who, up))
    found.append(gauge("pumice_service_disabled", "Whether it is given nothing new.", who, disabled))
    return found


def count_reconnects(node: Node) -> None:
    """Count each time that the database was not listened to for a while."""
    if isinstance(metrics := node.metrics, Metrics):
        node.db.subscribe(lambda topic: metrics.reconnected() if topic == MISSED else None)


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: when to stop is decided in ``serve.py``."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None, handshake_seconds: float) -> None:
        super().__init__(config)
        self.tls = tls
        self._handshake_seconds = handshake_seconds if tls else None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. uvicorn's own would let clients take a minute for their half of TLS's handshake."""
        loop, config = asyncio.get_running_loop(), self.config

        def connection() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self.server_state, app_state={}
            )
            return made

        self.servers = [
            await loop.create_server(
                connection,
                sock=one,
                ssl=self.tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=self._handshake_seconds,
                ssl_shutdown_timeout=GOODBYE_SECONDS if self.tls else None,
            )
            for one in sockets or ()
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


def server(application: Any, limits: Http, tls: ssl.SSLContext | None = None) -> Server:
    """A server for an ASGI application: it logs nothing, and lets nobody take more than ``limits``."""
    return Server(
        uvicorn.Config(
            application,
            http=limited(limits),
            ws="none",
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        ),
        tls,
        limits.head_seconds,
    )


def port(settings: Settings, roles: frozenset[Role]) -> int | None:
    """The port of a listener of its own for a process with these roles; None for none."""
    role = Role.API if Role.API in roles else min(roles)
    return settings.metrics.ports.get(role)


def listen(settings: Settings, roles: frozenset[Role]) -> socket.socket | None:
    """The socket of that listener, to be shared by workers. None when there is to be none, or it is taken."""
    if (number := port(settings, roles)) is None:
        return None
    host = settings.metrics.host
    try:
        return listening_socket(host, number)
    except OSError as error:
        logger.warning("metrics.nowhere", address=f"{host}:{number}", error=error.strerror)
        return None
