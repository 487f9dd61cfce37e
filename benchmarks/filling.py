"""Fills a PostgreSQL with a cloud that has been at work for a month: rows that agree with one another.

Each table is one INSERT from a series of numbers, so that a million volumes are minutes. A project has a
hundred volumes. A fifth of the volumes are in use, two by each server; every fourth has a snapshot, every tenth
a backup. Hosts are alive, their pools are full and their computes are given nothing: what is made afterwards
goes elsewhere. All operations have ended, until there is a ``backlog``.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Size:
    """How large it is."""

    volumes: int
    operations: int
    pools: int
    hosts: int

    def names(self) -> Mapping[str, int]:
        """What the statements call these numbers."""
        projects, servers = max(self.volumes // 100, 1), max(self.volumes // 10, 1)
        return {
            "volumes": self.volumes,
            "operations": self.operations,
            "pools": self.pools,
            "hosts": self.hosts,
            "projects": projects,
            "servers": servers,
        }


def statements(size: Size) -> Iterator[str]:
    """What to run, in this order, in an empty database of the newest schema."""
    for (table, number), columns in _TABLES.items():
        yield _insert(table, number, columns, size)
    yield "VACUUM ANALYZE"


def backlog(size: Size, number: int, place: str) -> Iterator[str]:
    """So many operations more that wait at a place for their turn."""
    columns = _OPERATION | {
        "id": f"md5('{place}' || n)::uuid::text",
        "state": "'running'",
        "settled": "false",
        "finished_at": "NULL",
        "hold": "'change'",
        "place": f"'{place}'",
    }
    yield _insert("operations", str(number), columns, size)
    yield "ANALYZE operations"


def identity(kind: str, number: int) -> str:
    """The id of the so manieth ``project``, ``user``, ``volume``, …"""
    return str(UUID(hashlib.md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest()))


def _insert(table: str, number: str, columns: Mapping[str, str], size: Size) -> str:
    values = ", ".join(columns.values())
    names = ", ".join(f'"{name}"' for name in columns)
    text = f"INSERT INTO {table} ({names}) SELECT {values} FROM generate_series(0, {number} - 1) n"  # noqa: S608
    return Template(text).substitute(size.names())


def _id(kind: str, number: str) -> str:
    """The same in SQL."""
    return f"md5('{kind}' || ({number}))::uuid::text"


_NOW = "timezone('utc', now())"
_HOST = "'full' || {} % $pools % $hosts"
_BACKEND = f"{_HOST} || '@b'"
_POOL = f"{_BACKEND} || '#p' || {{}} % $pools"
_OPERATION = {
    "id": _id("operation", "n"),
    "kind": "'volume.extend'",
    "subject": _id("volume", "n % $volumes"),
    "project_id": _id("project", "n % $volumes / 100"),
    "request_id": "'req-' || n",
    "params": '\'{"volume_id": "x", "size": 2}\'',
    "notes": "'{}'",
    "steps": '\'["grow", "publish"]\'',
    "state": "CASE n % 50 WHEN 0 THEN 'failed' ELSE 'done' END",
    "position": "2",
    "place": f"'volume:' || {_BACKEND.format('n')}",
    "settled": "true",
    "cancelled": "false",
    "tries": "0",
    "attempt": "1",
    "run_at": f"extract(epoch FROM {_NOW}) - n % 2592000",
    "deadline": f"extract(epoch FROM {_NOW}) + 3600 - n % 2592000",
    "created_at": f"{_NOW} - interval '1 second' * (n % 2592000)",
    "finished_at": f"{_NOW} - interval '1 second' * (n % 2592000)",
}
_THING = {
    "project_id": _id("project", "n / 100"),
    "user_id": _id("user", "n / 100"),
    "name": "'thing ' || n",
    "size": "1",
    "metadata": "'{}'",
}
_ATTACHED = _id("attachment", "n")
_TABLES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("domains", "1"): {
        "id": "'filled'", "name": "'filled'", "description": "''", "enabled": "true", "extra": "'{}'",
    },
    ("projects", "$projects"): {
        "id": _id("project", "n"),
        "domain_id": "'filled'",
        "name": "'project ' || n",
        "description": "''",
        "enabled": "true",
        "tags": "'[]'",
        "extra": "'{}'",
    },
    ("users", "$projects"): {
        "id": _id("user", "n"),
        "domain_id": "'filled'",
        "name": "'user ' || n",
        "enabled": "true",
        "extra": "'{}'",
    },
    ("roles", "1"): {"id": "'filled'", "name": "'filled'", "extra": "'{}'"},
    ("role_assignments", "$projects"): {
        "user_id": _id("user", "n"),
        "role_id": "'filled'",
        "scope": "'project'",
        "target_id": _id("project", "n"),
    },
    ("tokens", "$volumes / 10"): {
        "digest": "md5('token' || n)",
        "user_id": _id("user", "n % $projects"),
        "project_id": _id("project", "n % $projects"),
        "system": "false",
        "methods": "'[]'",
        "audit_ids": "'[]'",
        "issued_at": _NOW,
        "expires_at": f"{_NOW} + interval '1 second' * (n % 86400)",
    },
    ("services", "$hosts * 2"): {
        "binary": "CASE n % 2 WHEN 0 THEN 'cinder-volume' ELSE 'nova-compute' END",
        "host": "'full' || n / 2 || CASE n % 2 WHEN 0 THEN '@b' ELSE '' END",
        "uuid": _id("service", "n"),
        "zone": "'nova'",
        "disabled": "n % 2 = 1",
        "facts": "'{\"driver\": \"fake\", \"connector\": {\"host\": \"full\", \"ip\": \"192.0.2.1\"}}'",
        "created_at": _NOW,
        "updated_at": f"{_NOW} + interval '1 day'",
    },
    ("pools", "$pools"): {
        "name": _POOL.format("n", "n"),
        "host": _BACKEND.format("n"),
        "availability_zone": "'nova'",
        "total_gb": "($volumes - n - 1) / $pools + 1",
        "free_gb": "0",
        "claimed_gb": "($volumes - n - 1) / $pools + 1",
        "volumes": "($volumes - n - 1) / $pools + 1",
        "thin": "false",
        "max_over_subscription_ratio": "1",
        "reserved_percentage": "0",
        "capabilities": "'{\"volume_backend_name\": \"full\"}'",
        "updated_at": _NOW,
    },
    ("claims", "$volumes"): {
        "pool": _POOL.format("n", "n"), "holder": _id("volume", "n"), "gb": "1", "volumes": "1",
    },
    ("volumes", "$volumes"): _THING | {
        "id": _id("volume", "n"),
        "status": "CASE WHEN n % 5 = 0 THEN 'in-use' ELSE 'available' END",
        "availability_zone": "'nova'",
        "pool": _POOL.format("n", "n"),
        "bootable": "false",
        "multiattach": "false",
        "read_only": "false",
        "created_at": f"{_NOW} - interval '1 second' * n",
    },
    ("snapshots", "$volumes / 4"): _THING | {
        "id": _id("snapshot", "n"),
        "project_id": _id("project", "n * 4 / 100"),
        "user_id": _id("user", "n * 4 / 100"),
        "volume_id": _id("volume", "n * 4"),
        "status": "'available'",
        "pool": _POOL.format("(n * 4)", "(n * 4)"),
        "bootable": "false",
        "created_at": f"{_NOW} - interval '1 second' * n",
    },
    ("backups", "$volumes / 10"): _THING | {
        "id": _id("backup", "n"),
        "project_id": _id("project", "n * 10 / 100"),
        "user_id": _id("user", "n * 10 / 100"),
        "volume_id": _id("volume", "n * 10"),
        "status": "'available'",
        "container": "'backups'",
        "prefix": _id("backup", "n"),
        "object_count": "1",
        "data_timestamp": _NOW,
        "source": "'{}'",
        "pool": _POOL.format("(n * 10)", "(n * 10)"),
        "created_at": f"{_NOW} - interval '1 second' * n",
    },
    ("servers", "$servers"): {
        "id": _id("server", "n"),
        "project_id": _id("project", "n * 10 / 100"),
        "user_id": _id("user", "n * 10 / 100"),
        "name": "'server ' || n",
        "status": "'ACTIVE'",
        "host": "'full' || n % $hosts",
        "flavor": "'{}'",
        "metadata": "'{}'",
        "tags": "'[]'",
        "locked": "false",
        "availability_zone": "'nova'",
        "created_at": f"{_NOW} - interval '1 second' * n",
    },
    ("attachments", "$volumes / 5"): {
        "id": _ATTACHED,
        "volume_id": _id("volume", "n * 5"),
        "project_id": _id("project", "n * 5 / 100"),
        "server_id": _id("server", "n / 2"),
        "host": "'full' || n / 2 % $hosts",
        "device": "'/dev/vd' || chr(97 + n % 2)",
        "status": "'attached'",
        "mode": "'rw'",
        "connector": "'{\"host\": \"full\", \"initiator\": \"iqn\"}'",
        "chap_username": f"{_ATTACHED}",
        "attached_at": _NOW,
        "created_at": _NOW,
    },
    ("server_disks", "$volumes / 5"): {
        "id": _id("disk", "n"),
        "server_id": _id("server", "n / 2"),
        "device": "'vd' || chr(97 + n % 2)",
        "volume_id": _id("volume", "n * 5"),
        "attachment_id": _ATTACHED,
        "delete_on_termination": "false",
        "created_at": _NOW,
    },
    ("operations", "$operations"): _OPERATION,
    ("operation_lines", "$volumes"): {
        "operation_id": _id("operation", "n"),
        "step": "'grow'",
        "direction": "'do'",
        "outcome": "'done'",
        "place": f"'volume:' || {_BACKEND.format('n')}",
        "attempt": "1",
        "started_at": f"{_NOW} - interval '1 second' * (n % 2592000)",
        "seconds": "0.1",
    },
    ("tombstones", "$volumes"): {
        "kind": "'volume'",
        "id": _id("buried", "n"),
        "place": _POOL.format("n", "n"),
        "buried_at": f"{_NOW} - interval '1 second' * (n % 2592000)",
    },
    ("messages", "$volumes / 10"): {
        "id": _id("message", "n"),
        "project_id": _id("project", "n % $projects"),
        "resource_type": "'VOLUME'",
        "resource_id": _id("volume", "n"),
        "request_id": "'req-' || n",
        "event_id": "'VOLUME_VOLUME_001_002'",
        "level": "'ERROR'",
        "text": "'No room.'",
        "created_at": _NOW,
        "expires_at": f"{_NOW} + interval '1 day' * (n % 30)",
    },
    ("quota_usage", "$projects * 3"): {
        "project_id": _id("project", "n / 3"),
        "resource": "(ARRAY['volumes', 'snapshots', 'gigabytes'])[n % 3 + 1]",
        "in_use": "(ARRAY[100, 25, 125])[n % 3 + 1]",
        "today": "0",
        "since": f"extract(epoch FROM {_NOW})",
    },
    ("usage_days", "$projects * 60"): {
        "project_id": _id("project", "n / 60"),
        "day": f"extract(epoch FROM {_NOW})::int / 86400 - n % 60 / 2 - 1",
        "resource": "(ARRAY['gigabytes', 'backup_gigabytes'])[n % 2 + 1]",
        "amount_seconds": "864000",
    },
    ("schedules", "$projects * 5"): {
        "id": _id("schedule", "n"),
        "project_id": _id("project", "n / 5"),
        "user_id": _id("user", "n / 5"),
        "name": "'schedule ' || n",
        "makes": "'snapshot'",
        "volume_id": _id("volume", "n * 20"),
        "cron": "'0 3 * * *'",
        "timezone": "'UTC'",
        "keep": "'{}'",
        "enabled": "true",
        "next_run_at": f"{_NOW} + interval '1 hour'",
        "planned_at": _NOW,
        "last_run_id": _id("run", "n * 10"),
        "created_at": f"{_NOW} - interval '1 second' * n",
    },
    ("schedule_runs", "$projects * 50"): {
        "id": _id("run", "n"),
        "schedule_id": _id("schedule", "n / 10"),
        "project_id": _id("project", "n / 50"),
        "due_at": f"{_NOW} - interval '1 day' * (n % 10)",
        "manual": "false",
        "state": "'done'",
        "started_at": f"{_NOW} - interval '1 day' * (n % 10)",
        "finished_at": f"{_NOW} - interval '1 day' * (n % 10)",
        "volumes": "1",
        "made": "1",
        "failed": "0",
        "listed": "true",
    },
    ("schedule_items", "$projects * 50"): {
        "id": _id("item", "n"),
        "run_id": _id("run", "n"),
        "schedule_id": _id("schedule", "n / 10"),
        "target_id": _id("volume", "n / 10 * 20"),
        "state": "'done'",
        "tries": "1",
        "made_id": _id("snapshot", "n / 10 * 5"),
        "made_at": f"{_NOW} - interval '1 day' * (n % 10)",
        "name": "'schedule'",
    },
}  # fmt: skip
"""Of each table how many rows, and their columns, by ``n``: from 0 on."""
LARGE = frozenset(table for table, number in _TABLES if table not in ("domains", "roles", "services"))
"""The tables that grow with the cloud."""
