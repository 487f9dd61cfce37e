"""Guests that stand still, and go on by themselves: nobody's death, and nobody's delay, keeps one paused.

    begin ──▶ note ──▶ (the driver pauses the guest) ──▶ end: the driver resumes it, the note goes
               │ ├──▶ its time is over ──▶ resumed here
               │ └──▶ this process ends ──▶ resumed here
               ╰─ killed ──▶ the note is found at the next start ──▶ resumed then, or when its time is over

The note is written before the guest is paused, so there is no paused guest without one.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from pumice.host.thread import in_thread
from pumice.model.errors import PumiceError, in_full
from pumice.model.ids import ServerId

logger = structlog.get_logger(__name__)

SECONDS = 5.0
"""The longest that a guest stands still, where nobody says anything else."""
AGAIN_SECONDS = 1.0


@dataclass(slots=True)
class Pauses:
    """The guests that this host has paused. Without a folder, those of this process alone."""

    resume: Callable[[ServerId], Awaitable[None]]
    """How the driver lets one go on. One that is not paused, or not there, is fine."""
    folder: Path | None = None
    _watches: dict[ServerId, asyncio.Task[None]] = field(default_factory=dict)

    async def recover(self) -> None:
        """Watch over what an earlier process has paused: to be called after a start."""
        for server, until in (await in_thread(self._noted)).items():
            self._watch(server, max(until - time.time(), 0.0))

    async def begin(self, server: ServerId, seconds: float) -> None:
        """Note a pause of so many seconds, before the guest is paused; noted again, the time begins anew."""
        await in_thread(self._note, server, time.time() + seconds)
        self._watch(server, seconds)

    async def end(self, server: ServerId) -> None:
        """Note that the guest goes on."""
        if watch := self._watches.pop(server, None):
            watch.cancel()
        await in_thread(self._forget, server)

    def _watch(self, server: ServerId, seconds: float) -> None:
        if earlier := self._watches.pop(server, None):
            earlier.cancel()
        self._watches[server] = asyncio.create_task(self._let_go_on(server, min(seconds, 3600.0)))

    async def _let_go_on(self, server: ServerId, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:  # also when this process ends
            if self._watches.get(server) is asyncio.current_task():
                await self._resume(server)

    async def _resume(self, server: ServerId) -> None:
        while True:
            try:
                await self.resume(server)
            except PumiceError as error:
                logger.warning("guest.stays_paused", server=server, error=in_full(error))
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                logger.warning("guest.resumed", server=server)
                self._watches.pop(server, None)
                return await in_thread(self._forget, server)

    # --- notes: a small file for each guest -------------------------------------------------------------

    def _note(self, server: ServerId, until: float) -> None:
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = self.folder / f".{server}"
            fresh.write_text(f"{until}\n")
            fresh.replace(self.folder / server)

    def _forget(self, server: ServerId) -> None:
        if self.folder:
            (self.folder / server).unlink(missing_ok=True)

    def _noted(self) -> dict[ServerId, float]:
        noted = {}
        for file in self.folder.glob("[!.]*") if self.folder and self.folder.is_dir() else ():
            with contextlib.suppress(OSError, ValueError):
                noted[ServerId(file.name)] = float(file.read_text())
        return noted
