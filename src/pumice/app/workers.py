"""``pumice api --workers N``: processes that share the listening socket, and one that keeps them alive."""

import ctypes
import os
import signal
import socket
import time
from types import FrameType

import structlog

from pumice.app import logs
from pumice.app.roles import Role, refuse_alone
from pumice.app.serve import listen, run_roles
from pumice.app.settings import Settings

logger = structlog.get_logger(__name__)

AGAIN_SECONDS = 1.0
"""What a worker that died has lived at least before it is started again, so that a broken one does not spin."""
_API = frozenset({Role.API})
_PR_SET_PDEATHSIG = 1  # prctl(2): a signal for when the parent dies


def run(settings: Settings, number: int) -> None:
    """Answer requests from ``number`` processes until SIGINT or SIGTERM."""
    refuse_alone(settings, _API)
    listening = listen(settings)
    if number == 1:
        run_roles(settings, _API, listening)
        return
    logs.set_up(settings)
    _Workers(settings, listening, number).keep()


class _Workers:
    """The processes, by id, and when each was started."""

    def __init__(self, settings: Settings, listening: socket.socket, number: int) -> None:
        self.settings = settings
        self.listening = listening
        self.number = number
        self.started: dict[int, float] = {}
        self.stopping = False

    def keep(self) -> None:
        """Start them, start again whichever dies, and end when all have stopped because they were told to."""
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, self._stop)
        for _ in range(self.number):
            self._start()
        while self.started:
            process, status = os.wait()
            lived = time.monotonic() - self.started.pop(process, 0.0)
            if not self.stopping:
                code = os.waitstatus_to_exitcode(status)
                logger.error("worker.died", process=process, code=code, seconds=round(lived, 1))
                time.sleep(max(AGAIN_SECONDS - lived, 0.0))
                self._start()

    def _start(self) -> None:
        if self.stopping:
            return
        parent = os.getpid()
        process = os.fork()
        if process:
            self.started[process] = time.monotonic()
            return
        code = 1
        try:
            _die_with(parent)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            run_roles(self.settings, _API, self.listening)
            code = 0
        except Exception:
            logger.exception("worker.failed")
        finally:
            os._exit(code)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True
        for process in self.started:
            os.kill(process, signal.SIGTERM)


def _die_with(parent: int) -> None:
    """Be told to stop when the parent dies, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(0)
