"""What the process that answers tells operators of itself, by ``/pumice/v1``: settings, doctor, repair."""

import asyncio
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import Protocol

import orjson
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from pumice.api.own import process
from pumice.app import audit, settings_table
from pumice.app.driver_setup import OpenDrivers
from pumice.app.roles import Role
from pumice.app.settings import Settings, as_variables
from pumice.host.command import CommandFailed, run
from pumice.host.daemon import Daemon
from pumice.model.errors import Retryable
from pumice.operations.drivers import Drivers
from pumice.store.columns import now

KEPT = timedelta(seconds=60)
"""How long the doctor's findings serve whoever asks."""
DOCTOR_SECONDS = 60.0
"""How long the doctor may take: each of its looks has a limit of its own."""
_FINDINGS = TypeAdapter(list[process.Finding])


class Node(Protocol):
    """What is told of: a ``Node``, whose settings and drivers may be others after a reload."""

    settings: Settings
    drivers: Drivers
    daemons: list[Daemon]
    roles: frozenset[Role]


class Answering:
    """Tells of a node. The doctor looks once for all who ask, and there is one repair at a time."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._turn = asyncio.Lock()
        self._last: process.Examination | None = None
        self._repairing: asyncio.Task[process.Repaired] | None = None

    async def settings(self) -> process.Settings:
        """Every setting that is in force; a secret is not shown."""
        settings = self._node.settings
        told = [
            process.Setting(
                name=one.name,
                variable=one.variable,
                value=to_jsonable_python(one.value),
                source=one.source,
                meaning=one.meaning,
                live=one.live,
            )
            for one in settings_table.every(settings)
        ]
        return process.Settings(host=settings.host, settings=told)

    async def examine(self) -> process.Examination:
        """What the doctor found within the last minute. Raises ``Retryable`` when a look does not end."""
        async with self._turn:
            if self._last is None or now() - self._last.at > KEPT:
                self._last = await self._look()
            return self._last

    async def _look(self) -> process.Examination:
        """Ask ``pumice doctor``: a process of its own, as it forks, and touches disks that may hang."""
        settings = self._node.settings
        roles = [word for role in sorted(self._node.roles) for word in ("--role", role)]
        argv = (sys.executable, "-m", "pumice", "doctor", "--json", *roles)
        try:
            told = await run(*argv, timeout=DOCTOR_SECONDS, env=as_variables(settings))
        except CommandFailed as failed:
            if not failed.output:
                raise
            told = failed.output  # something is missing without which nothing is served
        found = _FINDINGS.validate_python(orjson.loads(told)["parts"])
        findings = [one for one in found if one.part != "api port"]  # who answers has it
        serves = not any(one.needed and one.verdict == "missing" for one in findings)
        return process.Examination(host=settings.host, at=now(), serves=serves, findings=findings)

    async def repair(self, seconds: float) -> process.Repaired:
        """Put right what can be. Raises ``Retryable`` after ``seconds``; the repair goes on."""
        if self._repairing is None or self._repairing.done():
            self._repairing = asyncio.create_task(self._repair())
        try:
            return await asyncio.wait_for(asyncio.shield(self._repairing), seconds)
        except TimeoutError:
            raise Retryable("The repair did not end in time; it goes on. Ask again.") from None

    async def _repair(self) -> process.Repaired:
        found = asdict(await audit.look(OpenDrivers(self._node.drivers, self._node.daemons), repair=True))
        left = found.pop("violations")
        return process.Repaired(host=self._node.settings.host, at=now(), left=left, **found)
