"""Servers and their disks: every read and write of their rows."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from string import ascii_lowercase
from typing import Any

import sqlalchemy as sa

from pumice.model.connector import Connector
from pumice.model.errors import Conflict, NotFound, OverQuota
from pumice.model.pattern import Pattern, is_plain
from pumice.model.server import Server, ServerDisk, cannot
from pumice.model.states import SERVER, ServerStatus
from pumice.store import json_columns, tombstones
from pumice.store.changes import changed
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.json_columns import has_entry
from pumice.store.ownership import AtRest
from pumice.store.rows import Rows
from pumice.store.stateful import StatefulRows
from pumice.store.tables import server_disks, servers, services

Condition = sa.ColumnElement[bool]

COMPUTE_BINARY = "nova-compute"
MOST_DISKS = len(ascii_lowercase)

_s, _d = servers.c, server_disks.c
_rows = StatefulRows(servers, Server, "Instance", SERVER)

get = _rows.visible
page = _rows.page

_disk_rows = Rows(server_disks, ServerDisk)
_disks = _disk_rows.select.where(_d.server_id == sa.bindparam("b_server")).order_by(_d.device)
_insert = sa.insert(servers)
_insert_disk = sa.insert(server_disks)
_bury = tombstones.burial(
    tombstones.grave(tombstones.Kind.SERVER, _s.id, _s.host, _s.id == sa.bindparam("b_id"))
)
_bury_disk = tombstones.burial(
    tombstones.grave(
        tombstones.Kind.DISK,
        sa.func.coalesce(_d.volume_id, _d.id),
        _d.server_id,
        _d.attachment_id == sa.bindparam("b_attachment"),
    )
)
_unlink = (
    sa.update(server_disks).where(_d.attachment_id == sa.bindparam("b_attachment")).values(attachment_id=None)
)


def insert(tx: Transaction, server: Server) -> None:
    """Add a server."""
    tx.execute(_insert, _rows.row(server))


def find(tx: Transaction, server_id: str) -> Server | None:
    """A server for Pumice's own work, if it still exists."""
    return _rows.get(tx, server_id)


def change(tx: Transaction, server_id: str, **changes: Any) -> None:
    """Write columns of a server other than its status."""
    assert "status" not in changes
    tx.execute(sa.update(servers).where(_s.id == server_id).values(updated_at=now(), **changes))


def move(tx: Transaction, server: Server, end: ServerStatus, **changes: Any) -> None:
    """Bring a server that nobody holds to another status, or leave it in this one, and write ``changes``."""
    if server.status == end:
        change(tx, server.id, **changes)
    else:
        _rows.try_to_move(tx, server.id, {server.status}, end, **changes)


def begin(
    tx: Transaction,
    server: Server,
    states: Collection[ServerStatus],
    task: str,
    operation_id: str,
    doing: str,
    meanwhile: ServerStatus | None = None,
) -> None:
    """Begin a task on a server that is in one of ``states`` with no task under way. Raises ``Conflict``.

    ``meanwhile``: what it is until that ends, where it does not stay as it is.
    """
    assert not meanwhile or all(SERVER.may_move(state, meanwhile) for state in states), (
        f"no move to {meanwhile}"
    )
    status = {"status": meanwhile} if meanwhile else {}
    result = tx.execute(
        sa.update(servers)
        .where(_s.id == server.id, _s.status.in_(sorted(states)), _s.task.is_(None))
        .values(task=task, operation_id=operation_id, updated_at=now(), **status)
    )
    if result.rowcount != 1:
        raise Conflict(cannot(server, doing))


def end(tx: Transaction, server_id: str, operation_id: str, **changes: Any) -> None:
    """End the task of ``operation_id`` and write ``changes`` with it; nothing if another took over."""
    _rows.settle(tx, server_id, operation_id, task=None, **changes)


def follow(tx: Transaction, seen: AtRest, end: ServerStatus, **changes: Any) -> bool:
    """Write what its machine has come to, if nothing happened to the server since it was ``seen``."""
    assert SERVER.may_move(seen.status, end), f"no move to {end}"
    same = _s.id == seen.id, _s.operation_id.is_(None), _s.updated_at.is_not_distinct_from(seen.updated_at)
    values = {"status": end, "updated_at": now()} | changes
    return bool(tx.execute(sa.update(servers).where(*same).values(values)).rowcount)


def delete(tx: Transaction, server_id: str) -> None:
    """Forget a server and its disks, and bury it."""
    remove_disks(tx, server_id)
    tombstones.bury(tx, _bury, b_id=server_id)
    tx.execute(sa.delete(servers).where(_s.id == server_id))


def disks(tx: Transaction, server_id: str) -> Sequence[ServerDisk]:
    """The server's disks in the order of their device names."""
    return _disk_rows.all(tx.execute(_disks, {"b_server": server_id}))


def disks_of(tx: Transaction, ids: Collection[str]) -> dict[str, list[ServerDisk]]:
    """The disks of several servers in one statement; those without any are missing."""
    found: dict[str, list[ServerDisk]] = {}
    if ids:
        for disk in _disk_rows.all(
            tx.execute(_disk_rows.select.where(_d.server_id.in_(list(ids))).order_by(_d.device))
        ):
            found.setdefault(disk.server_id, []).append(disk)
    return found


def find_disk(tx: Transaction, disk_id: str) -> ServerDisk | None:
    """A disk for Pumice's own work, if it still exists."""
    return _disk_rows.first(tx.execute(_disk_rows.select.where(_d.id == disk_id)))


def disk_of_attachment(tx: Transaction, attachment_id: str) -> ServerDisk | None:
    """The disk that an attachment is, if it is one of ours."""
    return _disk_rows.first(tx.execute(_disk_rows.select.where(_d.attachment_id == attachment_id)))


def disk_of_volume(tx: Transaction, server_id: str, volume_id: str) -> ServerDisk:
    """The server's disk that is this volume. Raises ``NotFound``."""
    query = _disk_rows.select.where(_d.server_id == server_id, _d.volume_id == volume_id)
    disk = _disk_rows.first(tx.execute(query))
    if disk is None:
        raise NotFound("Volume attachment", volume_id)
    return disk


def booting_from(tx: Transaction, volume_id: str) -> Server | None:
    """The server that is being made with this volume among its disks, if there is one."""
    query = _rows.select.join(server_disks, _d.server_id == _s.id)
    return _rows.first(tx.execute(query.where(_d.volume_id == volume_id, _s.status == ServerStatus.BUILD)))


def add_disk(tx: Transaction, disk: ServerDisk) -> None:
    """Add a disk; its device name must be free."""
    tx.execute(_insert_disk, _disk_rows.row(disk))
    tx.notify(changed(disk.server_id))


def change_disk(tx: Transaction, disk_id: str, **changes: Any) -> None:
    """Write columns of a disk."""
    _write_disks(tx, sa.update(server_disks).where(_d.id == disk_id).values(**changes))


def remove_disk(tx: Transaction, attachment_id: str) -> None:
    """Forget the disk of an attachment; nothing to do when it is gone already."""
    tombstones.bury(tx, _bury_disk, b_attachment=attachment_id)
    _write_disks(tx, sa.delete(server_disks).where(_d.attachment_id == attachment_id))


def remove_disks(tx: Transaction, server_id: str) -> None:
    """Forget every disk of a server."""
    _write_disks(tx, sa.delete(server_disks).where(_d.server_id == server_id))


def unlink_disk(tx: Transaction, attachment_id: str) -> None:
    """The attachment of a disk is gone; the disk waits for its server's end."""
    _write_disks(tx, _unlink, {"b_attachment": attachment_id})


def _write_disks(
    tx: Transaction, statement: sa.Update | sa.Delete, parameters: Mapping[str, Any] | None = None
) -> None:
    """Write disks, and tell that their servers are shown otherwise."""
    for server_id in set(tx.execute(statement.returning(_d.server_id), parameters).scalars()):
        tx.notify(changed(server_id))


def free_device(tx: Transaction, server_id: str, wanted: str | None = None) -> str:
    """A device name that no disk of the server has: ``wanted``, or the first free one.

    Raises ``Conflict`` when ``wanted`` is taken, ``OverQuota`` when the server has no room for another disk.
    """
    taken = {disk.device for disk in disks(tx, server_id)}
    if len(taken) >= MOST_DISKS:
        raise OverQuota(
            f"The maximum allowed number of disk devices ({MOST_DISKS}) to attach to a single instance has "
            "been exceeded."
        )
    if wanted is not None:
        if wanted in taken:
            raise Conflict(f"The supplied device path (/dev/{wanted}) is in use.")
        return wanted
    return next(name for letter in ascii_lowercase if (name := f"vd{letter}") not in taken)


def hosts_up(tx: Transaction, zone: str, down_seconds: float) -> frozenset[str]:
    """The compute hosts of a zone that are up."""
    return frozenset(tx.execute(sa.select(services.c.host).where(*_is_up(zone, down_seconds))).scalars())


def least_busy_host(tx: Transaction, zone: str, down_seconds: float, among: Collection[str] = ()) -> str | None:
    """The compute host that is up and runs the fewest servers: of all in the zone, or ``among`` some."""
    c = services.c
    query = (
        sa.select(c.host)
        .outerjoin(servers, _s.host == c.host)
        .where(*_is_up(zone, down_seconds))
        .group_by(c.host)
        .order_by(sa.func.count(_s.id), c.host)
        .limit(1)
    )
    return tx.execute(query.where(c.host.in_(sorted(among))) if among else query).scalar()


def _is_up(zone: str, down_seconds: float) -> Sequence[Condition]:
    c = services.c
    return (
        c.binary == COMPUTE_BINARY,
        c.disabled.is_(False),
        c.forced_down.is_not(True),
        c.zone == zone,
        c.updated_at >= now() - timedelta(seconds=down_seconds),
    )


def connector_of(tx: Transaction, host: str) -> Connector:
    """How a compute host presents itself to storage, as it said with its heartbeats. Raises ``Conflict``."""
    query = sa.select(services.c.facts).where(services.c.binary == COMPUTE_BINARY, services.c.host == host)
    facts = tx.execute(query).scalar()
    if not facts or "connector" not in facts:
        raise Conflict(f"The compute host {host} has not said yet how it connects to storage.")
    return Connector.of_row(facts["connector"])


def put(tx: Transaction, server_id: str, status: str) -> bool:
    """Give a server a state because an administrator says so. False while an operation holds it."""
    return _rows.put(tx, server_id, status, task=None)


def usage(tx: Transaction, project_id: str) -> tuple[int, int, int]:
    """What a project's servers are in all: how many, their vCPUs, their memory in MiB."""
    vcpus, ram = (
        sa.func.coalesce(sa.func.sum(json_columns.value(_s.flavor, key).as_integer()), 0)
        for key in ("vcpus", "ram")
    )
    sums = sa.select(sa.func.count().label("number"), vcpus.label("vcpus"), ram.label("ram"))
    row = tx.execute(sums.where(_s.project_id == project_id)).mappings().one()
    return row["number"], row["vcpus"], row["ram"]


def on_hosts(tx: Transaction, hosts: Collection[str]) -> dict[str, list[str]]:
    """The ids of the servers on each of these hosts."""
    found: dict[str, list[str]] = {}
    query = sa.select(_s.host, _s.id).where(_s.host.in_(list(hosts))).order_by(_s.created_at)
    for row in tx.execute(query).mappings():
        found.setdefault(row["host"], []).append(row["id"])
    return found


# --- lists: which servers ------------------------------------------------------------------------------------


def with_value(column: str, value: object) -> Condition:
    """The servers with this value in a column."""
    return _s[column] == value


def named(text: str) -> Condition:
    """The servers whose name has the pattern; ``^`` and ``$`` bind it to the ends. Raises ``Invalid``."""
    plain = text.removeprefix("^").removesuffix("$")
    if not is_plain(plain):
        Pattern.parse(text)
        return _s.name.regexp_match(text, flags="i")
    match text.startswith("^"), text.endswith("$"):
        case True, True:
            return _s.name == plain
        case True, False:
            return _s.name.startswith(plain, autoescape=True)
        case False, True:
            return _s.name.endswith(plain, autoescape=True)
        case _:
            return _s.name.icontains(plain, autoescape=True)


def of_flavor(flavor_id: str) -> Condition:
    """The servers made with this flavor."""
    made_with: Condition = json_columns.value(_s.flavor, "id").as_string() == flavor_id
    return made_with


def with_kept(name: str, value: str) -> Condition:
    """The servers that were told this value, which is only told again."""
    told: Condition = json_columns.value(_s.kept, name).as_string() == value
    return sa.func.coalesce(told, sa.false())


def with_hostname(text: str) -> Condition:
    """The servers with the text in their guest's name: the one asked for, or one made of theirs."""
    made = sa.func.replace(sa.func.replace(sa.func.lower(_s.name), " ", "-"), "_", "-")
    asked = json_columns.value(_s.kept, "hostname").as_string()
    return sa.func.coalesce(asked, made).contains(text.lower(), autoescape=True)


def with_id_from(beginning: str) -> Condition:
    """The servers whose id begins so."""
    return _s.id.startswith(beginning, autoescape=True) if beginning else sa.false()


def with_root(device: str) -> Condition:
    """The servers that boot from a disk of this device name."""
    d = server_disks.c
    return sa.exists().where(d.server_id == _s.id, d.boot_index == 0, d.device == device)


def in_second(column: str, moment: datetime) -> Condition:
    """The servers with a time in a column that is shown as this one, in whole seconds."""
    return _s[column].between(moment.replace(microsecond=0), moment.replace(microsecond=999_999))


def in_state(statuses: Collection[str]) -> Condition:
    """The servers in one of these states."""
    return _s.status.in_(sorted(statuses))


def changed_since(moment: datetime) -> Condition:
    """The servers that were made or changed then or later."""
    return sa.func.coalesce(_s.updated_at, _s.created_at) >= moment


def changed_before(moment: datetime) -> Condition:
    """The servers that were made or changed then or earlier, and not since."""
    return sa.func.coalesce(_s.updated_at, _s.created_at) <= moment


def tagged(tags: Collection[str], *, every: bool) -> Condition:
    """The servers with ``every`` one of the tags, or with any of them."""
    has = [has_entry(_s.tags, tag) for tag in tags]
    return sa.and_(*has) if every else sa.or_(*has)


def none_if(nobody: bool) -> Condition:
    """No server at all if ``nobody``, else all: those that are deleted have no row."""
    return sa.false() if nobody else sa.true()
