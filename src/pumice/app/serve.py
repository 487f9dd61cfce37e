"""Serve until Ctrl-C: everything from one process, or some of the roles."""

import asyncio
import contextlib
import signal
import socket
from pathlib import Path
from types import TracebackType

import structlog
import uvicorn

from pumice.app import house, logs, memory
from pumice.app.house import Whole
from pumice.app.roles import EVERY, Role
from pumice.app.settings import Settings
from pumice.identity.clouds import clouds_yaml, write_clouds
from pumice.model.errors import Misconfigured

logger = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; the steps in hand are finished, the rest waits for the next start."""
    lock = house.only_one(settings)
    try:
        run_roles(settings, EVERY)
    finally:
        lock.close()


def run_roles(settings: Settings, roles: frozenset[Role], listening: socket.socket | None = None) -> None:
    """The same for a process that has only some of the roles; a socket to serve on may be given."""
    import uvloop

    logs.set_up(settings)
    uvloop.run(_serve(settings, roles, listening))


async def _serve(settings: Settings, roles: frozenset[Role], listening: socket.socket | None) -> None:
    async with Serving(settings, roles, listening) as serving:
        if serving.url:
            logger.info("serving", url=serving.url, clouds=str(clouds_file(settings)))
        else:
            logger.info("working", roles=sorted(roles), name=serving.whole.runner.host)
        await serving.until_told_to_stop()
    logger.info("stopped")


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: when to stop is decided here."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


class Serving:
    """A Pumice that answers requests and carries operations for as long as the ``async with`` lasts."""

    def __init__(
        self, settings: Settings, roles: frozenset[Role] = EVERY, listening: socket.socket | None = None
    ) -> None:
        self.settings = settings
        self.roles = roles
        self.whole: Whole
        self.url = ""
        """Where the API is; empty without that role."""
        self._listening = listening
        self._server: _Server | None = None
        self._stopping = asyncio.Event()
        self._told = asyncio.Event()
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> "Serving":
        memory.give_back()
        serves = Role.API in self.roles
        listening = (self._listening or listen(self.settings)) if serves else None
        self.whole = await house.build(self.settings, self.roles)
        await self._tasks.__aenter__()
        if listening is not None:
            await self._answer(listening)
        self._tasks.create_task(self.whole.work(self._stopping))
        self._tasks.create_task(self._stop_without_a_name())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._told.set)
        return self

    async def _answer(self, listening: socket.socket) -> None:
        """Begin to answer requests."""
        api = self.settings.api
        self.url = api.public_url or f"http://{api.host}:{listening.getsockname()[1]}"
        write_clouds(clouds_file(self.settings), clouds_yaml(f"{self.url}/identity", self.whole.passwords))
        self._server = _Server(
            uvicorn.Config(
                self.whole.application(),
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=10,
            )
        )
        self._tasks.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started:
            await asyncio.sleep(0.002)

    async def _stop_without_a_name(self) -> None:
        lost = asyncio.create_task(self.whole.lost.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({lost, stopping}, return_when=asyncio.FIRST_COMPLETED)
        self._told.set()
        lost.cancel()

    async def until_told_to_stop(self) -> None:
        """Until SIGINT or SIGTERM, or until another process has this one's name."""
        await self._told.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self._stopping.set()
        try:
            await self._tasks.__aexit__(kind, error, trace)
        finally:
            await self.whole.db.close()


def listen(settings: Settings) -> socket.socket:
    """The socket to serve on. Raises ``Misconfigured`` when the address is taken."""
    listening = socket.socket(socket.AF_INET6 if ":" in settings.api.host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.api.host, settings.api.port))
    except OSError as error:
        listening.close()
        where = f"{settings.api.host}:{settings.api.port}"
        raise Misconfigured(f"Cannot listen on {where} ({error.strerror}): choose another --port.") from None
    return listening


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clouds_file(settings: Settings) -> Path:
    """Where the clients' ``clouds.yaml`` is written."""
    return settings.state_dir.absolute() / "clouds.yaml"
