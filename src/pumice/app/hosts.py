"""``pumice hosts``: which there are, what waits for each, and the end of one that is gone for good."""

import asyncio
from dataclasses import asdict
from datetime import datetime

from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, print_json, table, when
from pumice.app.verbs import VERBS
from pumice.loops.hosts import Gone
from pumice.model.errors import Conflict, NotFound
from pumice.store import hosts, services
from pumice.store.database import Transaction
from pumice.store.hosts import Host

SAYS = """\
Host {name} is to be forgotten: {heard}. Make sure that it is fenced, which is off and unable to come back by
itself: a machine that still runs would go on writing to volumes that are given to others.

  {services} services and their pools go.
  {operations} operations end, undone as far as others can, explained, and recorded.
  {servers} servers will be in ERROR. Volumes of theirs on other hosts will be available, to boot others from.
  {volumes} volumes lived on it: they and their snapshots will be in error, with a message, and can be deleted.
  {attachments} attachments go.

A host that comes back under this name is refused. 'pumice hosts forget {name} --yes' does it."""


def print_list(settings: Settings, *, as_json: bool) -> None:
    """Print a table of every host."""
    found, down = asyncio.run(_every(settings))
    if as_json:
        print_json([_as_json(host, host.name in down) for host in found])
        return
    numbered = "operations", "servers", "volumes", "attached"
    shown = table("host", "state", "heard", "services", *numbered, whole=("host", "state", "heard", *numbered))
    for host in found:
        served = ", ".join(_service(row["binary"], row["host"], host.name) + _how(row) for row in host.services)
        numbers = (host.operations, host.servers, host.volumes, host.attachments)
        state = _state(host, host.name in down)
        shown.add_row(host.name, plain(state), when(host.heard_at), plain(served), *map(str, numbers))
    console().print(shown if found else "None.")


def _service(binary: str, where: str, host: str) -> str:
    """``scheduler``, ``volume@BACKEND``, ``compute``."""
    return f"{binary.rpartition('-')[2]}{where.removeprefix(host)}"


def _how(service: services.Row) -> str:
    return f" ({services.how_disabled(service)})" if service["disabled"] else ""


def forget(settings: Settings, name: str, *, yes: bool) -> None:
    """Say what would be done; with ``yes`` do it. Raises ``NotFound``, or ``Conflict`` while it is up."""
    host = asyncio.run(_forget(settings, name, yes=yes))
    if yes:
        print(f"Host {name} is forgotten. What waits for another host's work goes on as that does it.")
    else:
        heard = f"last heard of at {_moment(host.heard_at)}" if host.heard_at else "never heard of"
        numbers = {key: getattr(host, key) for key in ("operations", "servers", "volumes", "attachments")}
        print(SAYS.format(name=name, heard=heard, services=len(host.services), **numbers))


def readmit(settings: Settings, name: str) -> None:
    """Let a forgotten host come again. Raises ``NotFound``."""
    asyncio.run(_readmit(settings, name))
    print(f"Host {name} may come again, with an empty state directory.")


async def _every(settings: Settings) -> tuple[list[Host], set[str]]:
    async with existing(settings) as db:
        found = await db.read(hosts.every)
    down = settings.tunables().service_down_seconds
    return found, {host.name for host in found if not _is_up(host, down)}


async def _forget(settings: Settings, name: str, *, yes: bool) -> Host:
    tunables = settings.tunables()

    def work(tx: Transaction) -> Host:
        host = hosts.find(tx, name)
        if host is None:
            raise NotFound("Host", name)
        if _is_up(host, tunables.service_down_seconds):
            heard = _moment(host.heard_at)
            raise Conflict(f"Host {name} was heard of at {heard}: stop it, or wait until it is down.")
        if yes:
            hosts.forget(tx, name)
        return host

    async with existing(settings) as db:
        host = await (db.write if yes else db.read)(work)
        if yes:
            await Gone(db, {verb.kind: verb for verb in VERBS}, tunables).check()
    return host


async def _readmit(settings: Settings, name: str) -> None:
    async with existing(settings) as db:
        if not await db.write(hosts.readmit, name):
            raise NotFound("Forgotten host", name)


def _is_up(host: Host, seconds: float) -> bool:
    return any(services.is_heard(row, seconds) for row in host.services)


def _state(host: Host, down: bool) -> str:
    if host.forgotten_at is not None:
        return f"forgotten {_moment(host.forgotten_at)}"
    return "forced down" if host.forced_down else "down" if down else "up"


def _as_json(host: Host, down: bool) -> dict[str, object]:
    return {**asdict(host), "services": [dict(row) for row in host.services], "state": _state(host, down)}


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""
