"""``pumice api --workers N``: processes that share the listening socket, and one that keeps them alive.

The keeper answers nothing. It starts a worker again that died, ends one that hangs, passes signals on, and
speaks to systemd for all of them. A worker that is refused, as by a database of another version's schema, would
be refused again: the others go on, and after the last the keeper ends, so that whatever is installed by now is
started in its place. What they share beside the sockets is a directory of counters
(``metrics.py``) and a page of memory in which each writes when it was last alive.
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
from pathlib import Path

import structlog

from pumice.app import checks, garbage, logs, monitoring, reload
from pumice.app.roles import Role
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
_PR_SET_PDEATHSIG = 1  # prctl(2): a signal for when the parent dies


def run(settings: Settings, number: int) -> None:
    """Answer requests from ``number`` processes until SIGINT or SIGTERM."""
    checks.refuse(settings, _API)
    if number == 1:
        run_roles(settings, _API)
        return
    logs.set_up(settings)
    listening = listen(settings)
    _import_once()
    directory = _metrics_directory(settings, listening)
    try:
        _Workers(settings, listening, directory, number).keep()
    finally:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


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


class _Workers:
    """The processes: the number of each, and when it was started."""

    def __init__(self, settings: Settings, listening: socket.socket, metrics: Path | None, number: int) -> None:
        self.settings = settings
        self.listening = listening
        self.watched = monitoring.listen(settings, _API)
        self.metrics = metrics
        self.systemd = Systemd()
        self.numbers: dict[int, int] = {}
        self.started = [0.0] * number
        self.stopping = False
        self._alive = mmap.mmap(-1, 8 * number)
        """When each worker was last alive, on the monotonic clock; shared with the forked processes."""

    def keep(self) -> None:
        """Start them, start again whichever dies, and end when all have stopped because they were told to.

        Raises ``Misconfigured`` when none is left and none can be started.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        for number in range(len(self.started)):
            self._start(number)
        ready = False
        while self.numbers:
            heard = signal.sigtimedwait(_HEARD, LOOK_SECONDS)
            if heard and heard.si_signo in _STOP:
                self.stopping = True
                self.systemd.stopping()
                self._pass_on(signal.SIGTERM)
            elif heard and heard.si_signo == signal.SIGHUP:
                self._reload()
            self._look_after()
            if not ready and all(map(self._alive_at, range(len(self.started)))):
                ready = True
                self.systemd.ready(f"{len(self.started)} workers serve")
            self.systemd.alive()
        if not self.stopping:
            raise Misconfigured("No worker of the API can be started; the last lines before this one say why.")

    def _start(self, number: int) -> None:
        self.started[number] = time.monotonic()
        self._say_alive(number, 0.0)
        parent = os.getpid()
        process = os.fork()
        if process:
            self.numbers[process] = number
            return
        code = 1
        try:
            _die_with(parent)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            run_roles(self.settings, _API, self._shared(number))
            code = 0
        except Misconfigured as error:
            logger.error("worker.refused", error=in_full(error))
            code = _REFUSED
        except Exception:
            logger.exception("worker.failed")
        finally:
            logs.end()
            os._exit(code)

    def _shared(self, number: int) -> Shared:
        return Shared(
            self.listening,
            self.watched,
            self.metrics,
            number,
            alive=lambda: self._say_alive(number, time.monotonic()),
        )

    def _say_alive(self, number: int, at: float) -> None:
        struct.pack_into("d", self._alive, 8 * number, at)

    def _alive_at(self, number: int) -> float:
        at: float = struct.unpack_from("d", self._alive, 8 * number)[0]
        return at

    def _look_after(self) -> None:
        """Start again what has ended, and end what hangs."""
        for process, number in list(self.numbers.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            lived = time.monotonic() - self.started[number]
            if ended:
                del self.numbers[process]
                code = os.waitstatus_to_exitcode(status)
                if not self.stopping and code != _REFUSED:
                    logger.error("worker.died", process=process, code=code, seconds=round(lived, 1))
                    time.sleep(max(AGAIN_SECONDS - lived, 0.0))
                    self._start(number)
            elif min(lived, time.monotonic() - self._alive_at(number)) > SILENT_SECONDS:
                logger.error("worker.hangs", process=process)
                os.kill(process, signal.SIGKILL)

    def _reload(self) -> None:
        """Let each worker read its settings again; those that are started later begin with them."""
        logs.open_again()
        with contextlib.suppress(Misconfigured):  # the workers say so
            self.settings, _ = reload.read(self.settings)
        self._pass_on(signal.SIGHUP)

    def _pass_on(self, number: signal.Signals) -> None:
        for process in self.numbers:
            os.kill(process, number)


def _die_with(parent: int) -> None:
    """Be told to stop when the parent dies, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(0)
