"""Serve until Ctrl-C: everything from one process, or some of the roles."""

import asyncio
import os
import random
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import structlog

from pumice.app import garbage, health, logs, malloc, monitoring, node, reload, serving_api, tls
from pumice.app.metrics import Metrics
from pumice.app.node import Node
from pumice.app.passwords import clouds_file, keep_true
from pumice.app.roles import EVERY, Role
from pumice.app.settings import Settings
from pumice.app.sockets import listening_socket
from pumice.app.systemd import Systemd
from pumice.identity.clouds import clouds_yaml, write_passwords
from pumice.model.errors import Misconfigured, in_full
from pumice.model.metrics_sink import MetricsSink

if TYPE_CHECKING:
    from pumice.api.service import Service

logger = structlog.get_logger(__name__)

CLIENTS_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""The lowest and the highest port that the kernel gives to who connects without a port of its own."""
ALIVE_SECONDS = 5.0
"""How often the process says that it is alive, to a watchdog or to the keeper of its workers."""


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; the steps in hand are finished, the rest waits for the next start."""
    lock = node.only_one(settings)
    try:
        run_roles(settings, EVERY)
    finally:
        lock.close()


def run_roles(settings: Settings, roles: frozenset[Role], shared: "Shared | None" = None) -> None:
    """Run the roles in this process; ``shared`` is given to one of several workers."""
    import uvloop

    logs.set_up(settings)
    with serving_api.told(settings.state_dir) if Role.API in roles else nullcontext():
        uvloop.run(_serve(settings, roles, shared))


async def _serve(settings: Settings, roles: frozenset[Role], shared: "Shared | None") -> None:
    sys.setswitchinterval(0.001)  # a transaction's thread waits less for one that makes a long list
    systemd = Systemd()
    async with Serving(settings, roles, shared, alive=systemd.alive) as serving:
        garbage.imports_end()
        if serving.url:
            logger.info("serving", url=serving.url, clouds=str(clouds_file(settings)))
        else:
            logger.info("working", roles=sorted(roles), name=serving.node.runner.host)
        systemd.ready(f"Serving {serving.url}" if serving.url else f"Working as {serving.node.runner.host}")
        async for _ in serving.hang_ups():
            systemd.reloading()
            serving.reload()
            systemd.ready("Settings were read again")
        systemd.stopping()
    logger.info("stopped")
    every = (*serving.node.drivers.bulkheads.left, *serving.node.images.left)
    left = [f"{it.call} at {it.place}" for it in every]
    if left := [*left, *filter(None, [serving.node.db.hangs()])]:
        logger.warning("stopped.with_calls_that_hang", calls=left)
        sys.stdout.flush()
        logs.end()
        os._exit(0)  # nobody waits for what the kernel does not let end


@dataclass(frozen=True, slots=True)
class Shared:
    """What a keeper's workers have in common, and how this one says that it is alive."""

    listening: socket.socket | None
    watched: socket.socket | None
    metrics: Path | None
    number: int
    alive: Callable[[], None]


class Serving:
    """A Pumice that answers requests and carries operations for as long as the ``async with`` lasts."""

    def __init__(
        self,
        settings: Settings,
        roles: frozenset[Role] = EVERY,
        shared: Shared | None = None,
        *,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.roles = roles
        self.node: Node
        self.url = ""
        """The address of the API; empty without that role."""
        self._shared = shared
        self._alive = shared.alive if shared else alive
        self._tls = tls.context(settings) if Role.API in roles else None
        self._servers: list[monitoring.Server] = []
        self._services: tuple[Service, ...] = ()
        self._told = False
        self._stopping = asyncio.Event()
        self._signals: asyncio.Queue[signal.Signals | None] = asyncio.Queue()
        self._tasks = asyncio.TaskGroup()
        self._telling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Serving":
        malloc.give_back()
        listening, watched = self._sockets()
        self.node = await node.build(self.settings, self.roles, self._metrics())
        monitoring.count_reconnects(self.node)
        await self._tasks.__aenter__()
        loop = asyncio.get_running_loop()
        for number in (
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGHUP,
        ):  # before anybody can see that we are there
            loop.add_signal_handler(number, self._hear, number)
        if listening is not None:
            api = self.settings.api
            scheme = "https" if self._tls else "http"
            self.url = api.public_url or f"{scheme}://{api.host}:{listening.getsockname()[1]}"
            self._tell_clients(self.node.passwords)
            telling = keep_true(self.node.db, self.settings, self._tell_clients)
            self._telling = self._tasks.create_task(telling)
            from pumice.app.apis import application as apis

            application = apis(self.node, monitoring.Monitoring(self.node, for_tenants=True))
            self._services = tuple(application.services.values())
            await self._answer(application, listening, self._tls)
        if watched is not None:
            await self._answer(monitoring.Monitoring(self.node), watched)
            logger.info("watched", port=watched.getsockname()[1])
        working = self._tasks.create_task(self.node.work(self._stopping))
        self._tasks.create_task(self._say_alive(working))
        self._tasks.create_task(self._stop_without_a_name())
        return self

    def _tell_clients(self, passwords: Mapping[str, str]) -> None:
        clouds = clouds_yaml(f"{self.url}/identity", passwords, tls.authority(self.settings))
        write_passwords(clouds_file(self.settings), clouds)

    def _sockets(self) -> tuple[socket.socket | None, socket.socket | None]:
        """The sockets for requests, and for metrics and health."""
        if self._shared is not None:
            return self._shared.listening, self._shared.watched
        listening = listen(self.settings) if Role.API in self.roles else None
        return listening, monitoring.listen(self.settings, self.roles)

    def _metrics(self) -> MetricsSink:
        if not self.settings.metrics.enabled:
            return MetricsSink()
        shared = self._shared
        return Metrics(shared.metrics, shared.number) if shared else Metrics()

    async def _answer(
        self, application: Any, listening: socket.socket, tls: ssl.SSLContext | None = None
    ) -> None:
        """Begin to answer requests."""
        server = monitoring.server(application, self.settings.http, tls)
        self._servers.append(server)
        self._tasks.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.002)

    async def _say_alive(self, working: asyncio.Task[None]) -> None:
        """Tell the watchdog that we are alive, until the last step in hand has ended."""
        while not working.done():
            if health.is_alive(self.node):
                self._alive()
            await asyncio.wait({working}, timeout=ALIVE_SECONDS)

    async def _stop_without_a_name(self) -> None:
        lost = asyncio.create_task(self.node.lost.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({lost, stopping}, return_when=asyncio.FIRST_COMPLETED)
        self._signals.put_nowait(None)
        lost.cancel()

    def _hear(self, number: signal.Signals) -> None:
        """The first signal to stop is obeyed when the steps in hand are done, the second at once."""
        if number != signal.SIGHUP and self._told:
            logger.warning("stopped.at_once", in_hand=self.node.runner.taken)
            logs.end()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._told = self._told or number != signal.SIGHUP
        self._signals.put_nowait(number if number == signal.SIGHUP else None)

    async def hang_ups(self) -> AsyncIterator[None]:
        """Yield at each SIGHUP; end at SIGINT or SIGTERM, or when another process has taken our name."""
        while await self._signals.get() is not None:
            yield

    async def until_told_to_stop(self) -> None:
        """Return at SIGINT or SIGTERM, or when another process has taken our name."""
        async for _ in self.hang_ups():
            pass

    def reload(self) -> None:
        """Take over what changed in the settings and in the files that they name."""
        logs.open_again()
        self.settings = reload.apply(self.node, self._services)
        if self._tls is not None:
            try:
                tls.renew(self._tls, self.settings)
            except Misconfigured as error:
                logger.error("certificate.refused", error=in_full(error))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.node.ctx.changes.stop()
        for server in self._servers:
            server.should_exit = True
        self._stopping.set()
        if self._telling:
            self._telling.cancel()
        try:
            await self._tasks.__aexit__(kind, error, trace)
        finally:
            await self.node.db.close()


def listen(settings: Settings) -> socket.socket:
    """The socket to serve on. Raises ``Misconfigured`` when the address is taken."""
    try:
        return listening_socket(settings.api.host, settings.api.port)
    except OSError as error:
        where = f"{settings.api.host}:{settings.api.port}"
        raise Misconfigured(
            f"Cannot listen on {where} ({error.strerror}): choose another by --port, by PUMICE_API__PORT, or "
            "as in 'make run PORT=8877'."
        ) from None


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at the moment, nor any client is given by the kernel."""
    lowest = int(CLIENTS_PORTS.read_text().split()[0])
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(10_000, lowest) if lowest > 20_000 else 0))  # noqa: S311
            return int(probe.getsockname()[1])
