"""``--workers N``: N processes share the listening socket, and one keeps them alive.

With ``pumice serve`` it keeps one for each other role as well: a whole Pumice of several processes, which have
one copy of what they import. The keeper answers nothing. It starts a worker again that died, ends one that
hangs, passes signals on, and speaks to systemd for all of them. A worker that is refused, as by a database of
another version's schema, would be refused again: the others go on, and after the last of a role the keeper
ends, so that whatever is installed by now is started in its place. What the API's workers share beside the
sockets is a directory of counters (``metrics.py``), and all a page of memory in which each writes when it was
last alive.
"""

import contextlib
import ctypes
import importlib
import mmap
import os
import shutil
import signal
import socket
import struct
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from pumice.app import checks, garbage, logs, monitoring, node, reload
from pumice.app.roles import EVERY, Role
from pumice.app.serve import Shared, listen, run_roles
from pumice.app.settings import Settings
from pumice.app.systemd import Systemd
from pumice.model.errors import Misconfigured, in_full

logger = structlog.get_logger(__name__)

AGAIN_SECONDS = 1.0
"""What a worker that died has lived at least before it is started again, so that a broken one does not spin."""
SILENT_SECONDS = 60.0
"""A worker that has not come round its event loop for so long hangs, or cannot start."""
LOOK_SECONDS = 1.0
_REFUSED = os.EX_CONFIG
"""How a worker ends that another try would not help."""
_SHARED = ("pumice.app.apis", "pumice.store.postgres", "prometheus_client", "uvloop")
_API = frozenset({Role.API})
_STOP = (signal.SIGINT, signal.SIGTERM)
_HEARD = (*_STOP, signal.SIGHUP, signal.SIGCHLD)
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15  # prctl(2): a signal for when the parent dies; what ps and top show


@dataclass(frozen=True, slots=True)
class Worker:
    """A process to be kept: its roles, and which one it is of those that have the same."""

    roles: frozenset[Role]
    number: int = 0


def run(settings: Settings, number: int, roles: frozenset[Role] = _API) -> None:
    """Answer requests from ``number`` processes until SIGINT or SIGTERM; each other role has one of its own."""
    checks.refuse(settings, _API)
    if number == 1 and roles == _API:
        run_roles(settings, _API)
        return
    logs.set_up(settings)
    workers = [Worker(_API, number) for number in range(number)]
    workers += [Worker(frozenset({role})) for role in sorted(roles - _API)]
    with ExitStack() as held:
        if roles == EVERY:
            held.enter_context(node.only_one(settings))
        listening = listen(settings)
        _import_once()
        directory = _metrics_directory(settings, listening)
        if directory is not None:
            held.callback(shutil.rmtree, directory, ignore_errors=True)
        _Keeper(settings, listening, directory, workers).keep()


def _import_once() -> None:
    """Import, before the first fork, what each worker would: they have one copy of it in memory."""
    for module in _SHARED:
        importlib.import_module(module)
    garbage.imports_end()


def _metrics_directory(settings: Settings, listening: socket.socket) -> Path | None:
    """An empty directory for the workers' counters: what an earlier service left there is not ours."""
    if not settings.metrics.enabled:
        return None
    name = f"metrics-{settings.host}-{listening.getsockname()[1]}"
    directory = settings.state_dir.absolute() / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    return directory


class _Keeper:
    """The processes: which worker each is, and when it was started."""

    def __init__(
        self, settings: Settings, listening: socket.socket, metrics: Path | None, workers: list[Worker]
    ) -> None:
        self.settings = settings
        self.listening = listening
        self.watched = monitoring.listen(settings, _API)
        self.metrics = metrics
        self.systemd = Systemd()
        self.workers = workers
        self.processes: dict[int, int] = {}
        """The place in ``workers`` of each process."""
        self.started = [0.0] * len(workers)
        self.stopping = False
        self.refused: frozenset[Role] | None = None
        """The roles of which no process is left, nor can be started."""
        self._alive = mmap.mmap(-1, 8 * len(workers))
        """When each worker was last alive, on the monotonic clock; shared with the forked processes."""

    def keep(self) -> None:
        """Start them, start again whichever dies, and end when all have stopped because they were told to.

        Raises ``Misconfigured`` when none of a role is left and none can be started.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        for place in range(len(self.workers)):
            self._start(place)
        ready = False
        while self.processes:
            heard = signal.sigtimedwait(_HEARD, LOOK_SECONDS)
            if heard and heard.si_signo in _STOP:
                self._stop()
            elif heard and heard.si_signo == signal.SIGHUP:
                self._reload()
            self._look_after()
            if not ready and all(map(self._alive_at, range(len(self.workers)))):
                ready = True
                self.systemd.ready(f"{len(self.workers)} workers serve")
            self.systemd.alive()
        if self.refused:
            raise Misconfigured(
                f"No process can be started as {', '.join(sorted(self.refused))}; "
                "the last lines before this one say why."
            )

    def _stop(self) -> None:
        self.stopping = True
        self.systemd.stopping()
        self._pass_on(signal.SIGTERM)

    def _start(self, place: int) -> None:
        self.started[place] = time.monotonic()
        self._say_alive(place, 0.0)
        parent = os.getpid()
        process = os.fork()
        if process:
            self.processes[process] = place
            return
        code = 1
        try:
            _die_with(parent)
            _call_it(f"pumice {'+'.join(sorted(self.workers[place].roles))}")
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            run_roles(self.settings, self.workers[place].roles, self._shared(place))
            code = 0
        except Misconfigured as error:
            logger.error("worker.refused", roles=sorted(self.workers[place].roles), error=in_full(error))
            code = _REFUSED
        except Exception:
            logger.exception("worker.failed")
        finally:
            logs.end()
            os._exit(code)

    def _shared(self, place: int) -> Shared:
        worker = self.workers[place]

        def alive() -> None:
            self._say_alive(place, time.monotonic())

        if worker.roles != _API:
            self.listening.close()
            return Shared(None, monitoring.listen(self.settings, worker.roles), None, 0, alive)
        return Shared(self.listening, self.watched, self.metrics, worker.number, alive)

    def _say_alive(self, place: int, at: float) -> None:
        struct.pack_into("d", self._alive, 8 * place, at)

    def _alive_at(self, place: int) -> float:
        at: float = struct.unpack_from("d", self._alive, 8 * place)[0]
        return at

    def _look_after(self) -> None:
        """Start again what has ended, and end what hangs."""
        for process, place in list(self.processes.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            lived = time.monotonic() - self.started[place]
            if ended:
                del self.processes[process]
                code = os.waitstatus_to_exitcode(status)
                if self.stopping:
                    continue
                if code == _REFUSED:
                    self._go_on_without(self.workers[place].roles)
                    continue
                logger.error("worker.died", process=process, code=code, seconds=round(lived, 1))
                time.sleep(max(AGAIN_SECONDS - lived, 0.0))
                self._start(place)
            elif min(lived, time.monotonic() - self._alive_at(place)) > SILENT_SECONDS:
                logger.error("worker.hangs", process=process)
                os.kill(process, signal.SIGKILL)

    def _go_on_without(self, roles: frozenset[Role]) -> None:
        """One was refused: stop if nobody is left that has its roles."""
        if all(self.workers[place].roles != roles for place in self.processes.values()):
            self.refused = roles
            self._stop()

    def _reload(self) -> None:
        """Let each worker read its settings again; those that are started later begin with them."""
        logs.open_again()
        with contextlib.suppress(Misconfigured):  # the workers say so
            self.settings, _ = reload.read(self.settings)
        self._pass_on(signal.SIGHUP)

    def _pass_on(self, number: signal.Signals) -> None:
        for process in self.processes:
            os.kill(process, number)


def _die_with(parent: int) -> None:
    """Be told to stop when the parent dies, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(0)


def _call_it(name: str) -> None:
    """Let ``ps`` and ``top`` call this process so, as far as 15 bytes go."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())
