"""A tgtd of our own: started detached, found again, ended cleanly.

The daemon holds the disks of running guests, so it must outlive the process that started it: it runs in a
session of its own, with a management socket and a log in the state directory. Nothing about it is remembered
in a file that could grow stale: tgtd locks ``tgtd.0.lock`` for as long as it lives, so the kernel tells
whether there is one, and its process id. The same lock keeps a second tgtd from starting.

Never kill it while it has targets: the guests would lose their disks.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from pumice.backends.targets.tgt_management import LONGEST_SOCKET_PATH, Management, TgtdRefused, TgtdSilent
from pumice.host.command import launch
from pumice.host.lock_holder import lock_holder
from pumice.host.parts import program, search_path
from pumice.host.thread import in_thread
from pumice.model.errors import Conflict, Misconfigured, Retryable

log = structlog.get_logger(__name__)


class TgtDaemon:
    """The tgtd that serves ``portal`` from ``state_dir``. Needs no root where it may read the volumes."""

    name = "tgtd"
    of_target = "tgt"

    def __init__(self, state_dir: Path, portal: str, *, io_threads: int = 4, timeout: float = 10.0) -> None:
        """``portal`` is ``ip:port``; ``io_threads`` run per exported volume; ``timeout`` in seconds."""
        self.ipc_socket = state_dir / "tgtd"
        self.portal = portal
        self.log_file = state_dir / "tgtd.log"
        self.management = Management(self.ipc_socket, timeout)
        self._io_threads = io_threads
        self._timeout = timeout
        self._starting = asyncio.Lock()

    def pid(self) -> int | None:
        """The process id of the daemon, or None when there is none."""
        return lock_holder(f"{self.ipc_socket}.0.lock")

    async def start(self) -> None:
        """Find the daemon, or start it. Returns once it answers at the portal.

        Raises ``Misconfigured`` when it cannot be started here, ``Retryable`` when one is there and hangs.
        """
        async with self._starting:
            if self.pid() is None:
                self._check_machine()
                await self._launch()
            if not await self._becomes(self.management.answers):
                if pid := self.pid():
                    raise Retryable(
                        "The target daemon does not answer.", f"tgtd, process {pid}: see {self.log_file}."
                    )
                raise Misconfigured(f"tgtd did not start. Its last words: {self._last_words()}")
            await self._listen()

    async def stop(self, *, force: bool = False) -> None:
        """End the daemon, if there is one.

        While it has targets it is only ended with ``force``, which cuts the initiators off first, and kills
        it where it hangs. Without, raises ``Conflict``, or ``Retryable`` when it does not answer.
        """
        if self.pid() is None:
            return
        try:
            await in_thread(self._empty, force)
        except TgtdSilent:
            if not force:
                raise
        if not await self._becomes(lambda: self.pid() is None) and (pid := self.pid()):
            log.warning("tgtd does not end by itself and is killed", pid=pid)
            os.kill(pid, signal.SIGKILL)
            await self._becomes(lambda: self.pid() is None)

    def _empty(self, force: bool) -> None:
        targets = self.management.targets()
        if targets and not force:
            raise Conflict(f"tgtd still exports {len(targets)} volumes; its initiators would lose them.")
        for target in targets:
            self.management.remove_target(target)
        self.management.shut_down()

    async def _launch(self) -> None:
        """Start tgtd in a session of its own, adopted by init, so that nobody's death takes it along."""
        argv = ("tgtd", "-f", "-t", str(self._io_threads), "--iscsi", f"portal={self.portal}")
        env = {"PATH": search_path(), "TGT_IPC_SOCKET": str(self.ipc_socket)}
        await launch("setsid", "--fork", *argv, log_file=self.log_file, timeout=10, env=env)
        log.info("tgtd is being started", portal=self.portal)

    def _check_machine(self) -> None:
        if not program("tgtd"):
            raise Misconfigured("The command 'tgtd' is not installed; 'pumice doctor' tells how.")
        if len(self.management.address.encode()) > LONGEST_SOCKET_PATH:
            raise Misconfigured(
                f"The path {self.management.address} is too long for a unix socket "
                f"(at most {LONGEST_SOCKET_PATH} bytes); choose a shorter state directory."
            )
        self.ipc_socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_portal()

    def _check_portal(self) -> None:
        # Where its port is taken, tgtd listens on every address of the machine instead: ask first.
        host, _, port = self.portal.rpartition(":")
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host.strip("[]"), int(port)))
            except (OSError, ValueError) as error:
                raise Misconfigured(f"tgtd cannot listen at {self.portal}: {error}.") from None

    async def _listen(self) -> None:
        """At the portal and nowhere else: one that outlived a change of the setting moves.

        Sessions go on. Raises ``Misconfigured`` when it cannot.
        """
        management, before = self.management, await in_thread(self.management.portals)
        if before == [self.portal]:
            return
        try:
            if self.portal not in before:
                self._check_portal()
                await in_thread(management.add_portal, self.portal)
            for other in before:
                if other != self.portal:
                    await in_thread(management.remove_portal, other)
        except (Misconfigured, TgtdRefused):
            with contextlib.suppress(Conflict):
                await self.stop()
            raise
        if (after := await in_thread(management.portals)) != [self.portal]:
            raise Misconfigured(f"tgtd listens at {', '.join(after)} and not at {self.portal} alone.")
        log.info("tgtd has moved", portal=self.portal, before=before)

    async def _becomes(self, claim: Callable[[], bool]) -> bool:
        """Wait until the claim holds, at most as long as our patience; whether it does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                while not await in_thread(claim):
                    await asyncio.sleep(0.02)
                return True
        return False

    def _last_words(self) -> str:
        try:
            return self.log_file.read_text(errors="replace").strip()[-500:] or "none"
        except OSError as error:
            return str(error)
