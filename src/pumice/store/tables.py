"""Every table. The only place that says what is stored; each row family's file holds its reads and writes.

Times are UTC without a zone. Sizes are GiB unless a column's name says bytes. JSON columns hold small
dictionaries that no statement joins on. A row that is deleted is gone: what happened to it can be read in the
operation log for as long as that is kept.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, Text, UniqueConstraint

from pumice.model.states import (
    AttachStatus,
    BackupStatus,
    GroupSnapshotStatus,
    GroupStatus,
    ImageBaseStatus,
    ImageStatus,
    ServerStatus,
    SnapshotStatus,
    VolumeStatus,
)
from pumice.store.columns import CONNECTOR, EXPORT, ID, JSON, JSON_LIST, NAME, NUMBER, TIME, WORD, State
from pumice.store.log_numbers import next_number

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _key() -> Column[Any]:
    return Column("id", ID, primary_key=True)


def _times() -> tuple[Column[Any], Column[Any]]:
    return Column("created_at", TIME, nullable=False), Column("updated_at", TIME)


def _in_bin() -> tuple[Column[Any], ...]:
    """What the recycle bin knows of what it holds; nothing of anything else."""
    return (
        Column("recycled_at", TIME),
        Column("recycled_until", NUMBER),  # in seconds of the bin's clock
        Column("recycled_told", NUMBER),  # when its owner was told that space is short, likewise
        Column("recycled_counts", Boolean),  # for quota, while it is there
    )


def _bin_indexes(table: str) -> tuple[Index, ...]:
    """For the bin's list and what is due; few rows are in it."""
    names = {
        "page": ("project_id", "recycled_at", "id"),
        "all": ("recycled_at", "id"),
        "due": ("recycled_until", "id"),
        "pool": ("pool", "recycled_at"),
    }
    where = "recycled_at IS NOT NULL"
    return tuple(_some(f"ix_{table}_bin_{name}", *columns, where=where) for name, columns in names.items())


def _tells(*columns: str) -> dict[str, tuple[str, ...]]:
    """The columns by which rows name what shows them: who waits for that is told (``changes.py``)."""
    return {"tells": columns}


def _some(name: str, *columns: str | sa.TextClause, where: str, **options: Any) -> Index:
    """An index of some rows, which are few."""
    return Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where), **options)


_BEGINNINGS = {name: {name: "varchar_pattern_ops"} for name in ("owner", "pool")}
"""Operator classes of indexes for ``begins_with`` (``beginning.py``)."""

# --- operations: the log and the queue ----------------------------------------------------------

MOVING = "state IN ('running', 'undoing')"
"""What somebody carries or is to carry, as the index of the queue says it and every query of the queue."""
LANE = "coalesce(project_id, '') || ' ' || kind"
"""Whose an operation is and of what kind, likewise."""

operations = sa.Table(
    "operations",
    metadata,
    _key(),
    Column("kind", WORD, nullable=False),
    Column("subject", ID, nullable=False),
    Column("project_id", ID),
    Column("request_id", WORD),
    Column("parent_id", ID),
    Column("params", JSON, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),  # of the shape of its params
    Column("notes", JSON, nullable=False),
    Column("steps", JSON_LIST, nullable=False),  # the step names it began with
    Column("state", WORD, nullable=False),  # running, waiting, undoing, done, failed
    Column("position", Integer, nullable=False),
    Column("place", NAME, nullable=False),
    Column("resume_at", Integer),  # when undoing only back to a step that may choose again
    Column("error", Text),
    Column("settled", Boolean, nullable=False),  # the tenant has been told how it ended
    Column("settled_at", TIME),
    Column("unread", Text),  # why the last process that took it up could not go on with it
    Column("cancelled", Boolean, nullable=False),
    Column("tries", Integer, nullable=False),  # of the step in hand
    Column("attempt", Integer, nullable=False),  # fences whoever held it before
    Column("owner", NAME),
    Column("lease_until", NUMBER),  # seconds since the epoch
    Column("run_at", NUMBER, nullable=False),
    Column("deadline", NUMBER, nullable=False),
    Column("progress", NUMBER),
    Column("created_at", TIME, nullable=False),
    Column("finished_at", TIME),
    Column("hold", WORD),  # how it holds its subject: read, use, change, own; null when it does not (any more)
    Column(
        "began_number", BigInteger, default=next_number()
    ),  # its beginning among the lines of all operations
    Column("ended_number", BigInteger),  # likewise, when it was settled
    Column("volume_id", ID),  # the volume that it is about besides its subject
    Index("ix_operations_queue", "state", "place", "run_at"),
    _some("ix_operations_lanes", "place", sa.text(f"({LANE})"), "run_at", "created_at", where=MOVING),
    _some("ix_operations_held", "place", where="owner IS NOT NULL"),
    Index("ix_operations_subject", "subject"),
    _some("ix_operations_volume_id", "volume_id", where="volume_id IS NOT NULL"),
    _some("ix_operations_hold", "subject", where="hold IS NOT NULL"),
    Index("ix_operations_parent_id", "parent_id"),
    _some("ix_operations_owner", "owner", where="owner IS NOT NULL", postgresql_ops=_BEGINNINGS["owner"]),
    Index("ix_operations_finished_at", "finished_at"),
    Index("ix_operations_page", "project_id", "created_at", "id"),
    Index("ix_operations_began_number", "began_number"),
    Index("ix_operations_ended_number", "ended_number"),
)

operation_lines = sa.Table(
    "operation_lines",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("operation_id", ID, ForeignKey("operations.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("step", WORD, nullable=False),
    Column("direction", WORD, nullable=False),  # do, undo
    Column("outcome", WORD, nullable=False),  # done, retry, failed, waiting
    Column("place", NAME, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("error", Text),
    Column("started_at", TIME, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("times", Integer, nullable=False, server_default="1"),  # how many tries of a cleaning it stands for
)

operation_holds = sa.Table(  # what else it holds
    "operation_holds",
    metadata,
    Column(
        "thing", ID, primary_key=True
    ),  # the id of a volume, snapshot, backup, group, group snapshot, attachment or server
    Column("operation_id", ID, primary_key=True, index=True),
    Column("mode", WORD, nullable=False),  # read, use, change, own
)

hanging_calls = sa.Table(  # what a process left behind, and what is fenced until it comes back or that ends
    "hanging_calls",
    metadata,
    _key(),
    Column("owner", NAME, nullable=False),  # the worker whose process it hangs in
    Column("place", NAME, nullable=False),
    Column("call", NAME, nullable=False),
    Column("subject", ID),
    Column("operation_id", ID),
    Column("since", TIME, nullable=False),
    Column("pool", NAME),  # host@backend#pool, where the operation has chosen one
)

# --- identity -----------------------------------------------------------------------------------

domains = sa.Table(
    "domains",
    metadata,
    _key(),
    Column("name", NAME, nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("extra", JSON, nullable=False),  # what else clients keep with it: unknown keys, options
)

projects = sa.Table(
    "projects",
    metadata,
    _key(),
    Column("domain_id", ID, ForeignKey("domains.id"), nullable=False),
    Column("parent_id", ID),
    Column("name", NAME, nullable=False),
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("tags", JSON_LIST, nullable=False),
    Column("extra", JSON, nullable=False),  # what else clients keep with it: unknown keys, options
    UniqueConstraint("domain_id", "name"),
)

users = sa.Table(
    "users",
    metadata,
    _key(),
    Column("domain_id", ID, ForeignKey("domains.id"), nullable=False),
    Column("name", NAME, nullable=False),
    Column("description", Text),
    Column("email", NAME),
    Column("enabled", Boolean, nullable=False),
    Column("default_project_id", ID),
    Column("password_hash", Text),
    Column("password_expires_at", TIME),
    Column("extra", JSON, nullable=False),  # what else clients keep with it: unknown keys, options
    UniqueConstraint("domain_id", "name"),
)

failed_logins = sa.Table(
    "failed_logins",
    metadata,
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, nullable=False),  # in a row
    Column("at", TIME, nullable=False),  # of the last one
)

roles = sa.Table(
    "roles",
    metadata,
    _key(),
    Column("name", NAME, nullable=False, unique=True),
    Column("description", Text),
    Column("extra", JSON, nullable=False),  # what else clients keep with it: unknown keys, options
)

role_assignments = sa.Table(
    "role_assignments",
    metadata,
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", ID, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Column("scope", WORD, primary_key=True),  # project, domain, system
    Column("target_id", ID, primary_key=True),  # the project's or domain's id, or "all"
    Index("ix_role_assignments_role_id", "role_id"),
    Index("ix_role_assignments_target_id", "target_id"),
)

user_groups = sa.Table(
    "user_groups",
    metadata,
    _key(),
    Column("domain_id", ID, ForeignKey("domains.id"), nullable=False),
    Column("name", NAME, nullable=False),
    Column("description", Text, nullable=False),
    Column("extra", JSON, nullable=False),  # what else clients keep with it: unknown keys, options
    UniqueConstraint("domain_id", "name"),
)

group_members = sa.Table(
    "group_members",
    metadata,
    Column("group_id", ID, ForeignKey("user_groups.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
)

group_assignments = sa.Table(  # what each member of a group has
    "group_assignments",
    metadata,
    Column("group_id", ID, ForeignKey("user_groups.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", ID, ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    Column("scope", WORD, primary_key=True),
    Column("target_id", ID, primary_key=True),
)

application_credentials = sa.Table(
    "application_credentials",
    metadata,
    _key(),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", ID, nullable=False),
    Column("name", NAME, nullable=False),
    Column("description", Text),
    Column("secret_hash", Text, nullable=False),
    Column("expires_at", TIME),
    Column("unrestricted", Boolean, nullable=False),
    Column("role_ids", JSON_LIST, nullable=False),
    Column("access_rule_ids", JSON_LIST, nullable=False),  # empty: every request is allowed
    UniqueConstraint("user_id", "name"),
)

access_rules = sa.Table(
    "access_rules",
    metadata,
    Column("id", sa.String(64), primary_key=True),
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("service", NAME, nullable=False),
    Column("path", NAME, nullable=False),
    Column("method", WORD, nullable=False),
    UniqueConstraint("user_id", "service", "path", "method"),
)

tokens = sa.Table(
    "tokens",
    metadata,
    Column("digest", sa.String(64), primary_key=True),  # SHA-256 of the token, which is never stored
    Column("user_id", ID, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", ID, index=True),
    Column("domain_id", ID),
    Column("system", Boolean, nullable=False),
    Column("methods", JSON_LIST, nullable=False),
    Column("audit_ids", JSON_LIST, nullable=False),
    Column("issued_at", TIME, nullable=False),
    Column("expires_at", TIME, nullable=False, index=True),
    Column("application_credential_id", ID),  # what it was got for; void without it
)

# --- the catalog: what services there are, and where --------------------------------------------

regions = sa.Table(
    "regions",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("description", Text, nullable=False),
    Column("parent_region_id", NAME),
    Column("extra", JSON, nullable=False),
)

catalog_services = sa.Table(
    "catalog_services",
    metadata,
    _key(),
    Column("type", NAME, nullable=False),
    Column("name", NAME, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("extra", JSON, nullable=False),
)

endpoints = sa.Table(
    "endpoints",
    metadata,
    _key(),
    Column("service_id", ID, ForeignKey("catalog_services.id", ondelete="CASCADE"), nullable=False),
    Column("interface", WORD, nullable=False),
    Column("region_id", NAME),
    Column("url", Text, nullable=False),  # a path alone is at the address by which the client came
    Column("enabled", Boolean, nullable=False),
    Column("extra", JSON, nullable=False),
)

# --- images -------------------------------------------------------------------------------------

images = sa.Table(
    "images",
    metadata,
    _key(),
    Column("owner", ID, nullable=False, index=True),
    Column("name", NAME),
    Column("status", State(ImageStatus), nullable=False),
    Column("visibility", WORD, nullable=False),
    Column("disk_format", WORD),
    Column("container_format", WORD),
    Column("size", sa.BigInteger),  # bytes
    Column("virtual_size", sa.BigInteger),  # bytes
    Column("checksum", sa.String(32)),
    Column("os_hash_algo", WORD),
    Column("os_hash_value", sa.String(128)),
    Column("min_disk", Integer, nullable=False),
    Column("min_ram", Integer, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("os_hidden", Boolean, nullable=False),
    Column("tags", JSON_LIST, nullable=False),
    Column("properties", JSON, nullable=False),
    Column("location", sa.Text),  # the URL of an image in a pool of Ceph
    *_times(),
    info=_tells("id"),
)

image_members = sa.Table(
    "image_members",
    metadata,
    Column("image_id", ID, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("member_id", ID, primary_key=True),
    Column("status", WORD, nullable=False),
    *_times(),
    info=_tells("image_id"),
)

# --- catalog: types, quotas ---------------------------------------------------------------------

volume_types = sa.Table(
    "volume_types",
    metadata,
    _key(),
    Column("name", NAME, nullable=False, unique=True),
    Column("description", Text),
    Column("is_public", Boolean, nullable=False),
    Column("extra_specs", JSON, nullable=False),
    Column("qos_specs_id", ID),
    Column("encryption", JSON),  # how volumes of the type are encrypted, if they are
    *_times(),
)

qos_specs = sa.Table(
    "qos_specs",
    metadata,
    _key(),
    Column("name", NAME, nullable=False, unique=True),
    Column("consumer", WORD, nullable=False),
    Column("specs", JSON, nullable=False),
    *_times(),
)

group_types = sa.Table(
    "group_types",
    metadata,
    _key(),
    Column("name", NAME, nullable=False, unique=True),
    Column("description", Text),
    Column("is_public", Boolean, nullable=False),
    Column("group_specs", JSON, nullable=False),
    *_times(),
)

type_access = sa.Table(
    "type_access",
    metadata,
    Column("type_id", ID, ForeignKey("volume_types.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", ID, primary_key=True),
)

default_types = sa.Table(
    "default_types",
    metadata,
    Column("project_id", ID, primary_key=True),
    Column("type_id", ID, ForeignKey("volume_types.id"), nullable=False),
)

quota_limits = sa.Table(
    "quota_limits",
    metadata,
    Column("project_id", ID, primary_key=True),  # or "class:default"
    Column("resource", sa.String(300), primary_key=True),  # may end with the name of a type
    Column("hard_limit", Integer, nullable=False),
)

quota_usage = sa.Table(
    "quota_usage",
    metadata,
    Column("project_id", ID, primary_key=True),
    Column("resource", sa.String(300), primary_key=True),  # may end with the name of a type
    Column("in_use", Integer, nullable=False),
    Column("since", NUMBER),  # seconds since the epoch: until then it is added up, since then it is ``in_use``
    Column("today", NUMBER),  # what was in use on that day until then, times seconds
    Column("past_since", NUMBER),  # both as they were, where the last change was the first of its day
    Column("past_today", NUMBER),
)

usage_days = sa.Table(
    "usage_days",  # what was in use on each day that is over, times seconds
    metadata,
    Column("project_id", ID, primary_key=True),
    Column("day", Integer, primary_key=True),  # since 1970-01-01
    Column("resource", sa.String(300), primary_key=True),
    Column("amount_seconds", Float, nullable=False),
    Index("ix_usage_days_day", "day"),
)

# --- volumes ------------------------------------------------------------------------------------

services = sa.Table(
    "services",
    metadata,
    Column("binary", WORD, primary_key=True),
    Column("host", NAME, primary_key=True),
    Column("cluster", NAME, index=True),  # NAME@backend, where several hosts serve one backend
    Column("uuid", ID, nullable=False),
    Column("zone", NAME, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("disabled_reason", NAME),
    Column("disabled_by", sa.String(300)),  # NAME (ID), as it was then
    Column("facts", JSON, nullable=False),  # what a role says of its host: connector, driver, portal
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),  # the last heartbeat
    Column("forced_down", Boolean),  # an operator says that its host is down, whatever it says itself
)

log_levels = sa.Table(
    "log_levels",  # what each service of block storage logs: the API's too, which is no row of services
    metadata,
    Column("binary", WORD, primary_key=True),
    Column("host", NAME, primary_key=True),
    Column("changes", Integer, nullable=False),  # the number of the last change that was asked of it
    Column("wanted", JSON_LIST, nullable=False),  # [change, prefix, level] of those that still count
    Column("present", JSON, nullable=False),  # the level of each logger, as the service said
    Column("applied", Integer, nullable=False),  # the last change that it had made by then
    Column("updated_at", TIME, nullable=False),  # when it last looked
)

forgotten_hosts = sa.Table(
    "forgotten_hosts",  # gone for good: who comes back under such a name is refused
    metadata,
    Column("name", NAME, primary_key=True),
    Column("forgotten_at", TIME, nullable=False),
)

ROOM = (
    "CASE WHEN thin THEN total_gb"
    " * CASE WHEN max_over_subscription_ratio > 1 THEN max_over_subscription_ratio ELSE 1 END"
    " - claimed_gb WHEN free_gb < total_gb - claimed_gb THEN free_gb ELSE total_gb - claimed_gb END"
    " - total_gb * reserved_percentage / 100.0"
)
"""What the scheduler's capacity weigher says of a pool, in GiB, for the index and the query alike."""

pools = sa.Table(
    "pools",
    metadata,
    Column("name", NAME, primary_key=True),  # host@backend#pool
    Column("host", NAME, nullable=False, index=True),  # host@backend
    Column("availability_zone", NAME, nullable=False),
    Column("total_gb", Float, nullable=False),
    Column("free_gb", Float, nullable=False),
    Column("claimed_gb", Integer, nullable=False),  # the sum of its claims
    Column("volumes", Integer, nullable=False),  # how many of them are volumes
    Column("thin", Boolean, nullable=False),
    Column("max_over_subscription_ratio", Float, nullable=False),
    Column("reserved_percentage", Integer, nullable=False),
    Column("capabilities", JSON, nullable=False),
    Column("updated_at", TIME, nullable=False),
    sa.Index("ix_pools_roomiest", "availability_zone", sa.text(f"({ROOM}) DESC"), "volumes", "name"),
)

claims = sa.Table(
    "claims",
    metadata,
    Column("pool", NAME, primary_key=True),
    Column("holder", ID, primary_key=True),  # a volume, a base, or the operation that makes one grow
    Column("gb", Integer, nullable=False),
    Column("volumes", Integer, nullable=False),  # 1 for a volume, 0 for anything else
)

volumes = sa.Table(
    "volumes",
    metadata,
    _key(),
    Column("project_id", ID, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("name", NAME),
    Column("description", Text),
    Column("size", Integer, nullable=False),
    Column("status", State(VolumeStatus), nullable=False),
    Column("type_id", ID, ForeignKey("volume_types.id")),
    Column("availability_zone", NAME, nullable=False),
    Column("pool", NAME),  # host@backend#pool, once one is chosen
    Column("snapshot_id", ID),
    Column("source_volid", ID),
    Column("bootable", Boolean, nullable=False),
    Column("multiattach", Boolean, nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("image_metadata", JSON),
    Column("encryption_key_id", ID),
    Column("operation_id", ID),  # the operation that holds it while its state passes
    Column("read_only_told", Boolean),  # somebody has said whether it is read-only
    Column("moved_at", TIME),  # when it came to its state
    *_times(),
    Column("group_id", ID),
    Column("end_unseen", Boolean),  # nobody has used it since its last GiB, or all of it, was added
    Column("migration_status", WORD),  # how far the last move to another pool is, or how it ended
    *_in_bin(),
    _some("ix_volumes_group_id", "group_id", where="group_id IS NOT NULL"),
    _some("ix_volumes_source_volid", "source_volid", where="source_volid IS NOT NULL"),
    _some("ix_volumes_snapshot_id", "snapshot_id", where="snapshot_id IS NOT NULL"),
    *_bin_indexes("volumes"),
    Index("ix_volumes_page", "project_id", "created_at", "id"),
    Index("ix_volumes_all", "created_at", "id"),
    Index("ix_volumes_place", "pool", postgresql_ops=_BEGINNINGS["pool"]),
    Index("ix_volumes_part", sa.text("substr(id, 1, 1)"), "pool", "id", postgresql_ops=_BEGINNINGS["pool"]),
    Index("ix_volumes_type_id", "type_id"),
    Index("ix_volumes_status", "status"),
    _some("ix_volumes_operation_id", "operation_id", where="operation_id IS NOT NULL"),
    info=_tells("id", "group_id"),
)

volume_keys = sa.Table(
    "volume_keys",
    metadata,
    _key(),
    Column("passphrase", NAME, nullable=False),
    Column("created_at", TIME, nullable=False),
)

move_accounts = sa.Table(
    "move_accounts",  # by which the new host of a volume that is moved reads it at the old one
    metadata,
    Column("username", WORD, primary_key=True),
    Column("password", WORD, nullable=False),
    Column("created_at", TIME, nullable=False),
)

image_bases = sa.Table(
    "image_bases",
    metadata,
    _key(),
    Column("pool", NAME, nullable=False),  # host@backend#pool
    Column("image_id", ID, nullable=False),
    Column("content", NAME, nullable=False),  # the format and the digest of the image's bytes
    Column("size", Integer, nullable=False),
    Column("status", State(ImageBaseStatus), nullable=False),
    Column("uses", Integer, nullable=False),
    Column("used_at", TIME, nullable=False),
    Column("operation_id", ID),  # the operation that holds it while its state passes
    *_times(),
    Index("ix_image_bases_place", "pool", "image_id", unique=True, postgresql_ops=_BEGINNINGS["pool"]),
    info=_tells("id"),
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    _key(),
    Column("volume_id", ID, ForeignKey("volumes.id"), nullable=False, index=True),
    Column("project_id", ID, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("name", NAME),
    Column("description", Text),
    Column("size", Integer, nullable=False),
    Column("status", State(SnapshotStatus), nullable=False),
    Column("pool", NAME, nullable=False),
    Column("type_id", ID),
    Column("metadata", JSON, nullable=False),
    Column("operation_id", ID),
    Column("bootable", sa.Boolean),  # as its volume was, like the two below; None: made by an earlier version
    Column("image_metadata", JSON),
    Column("encryption_key_id", ID),
    *_times(),
    Column("group_snapshot_id", ID),
    Column("progress", sa.String(4)),
    *_in_bin(),
    *_bin_indexes("snapshots"),
    _some("ix_snapshots_group_snapshot_id", "group_snapshot_id", where="group_snapshot_id IS NOT NULL"),
    Index("ix_snapshots_page", "project_id", "created_at", "id"),
    Index("ix_snapshots_all", "created_at", "id"),
    Index("ix_snapshots_place", "pool", postgresql_ops=_BEGINNINGS["pool"]),
    Index("ix_snapshots_part", sa.text("substr(id, 1, 1)"), "pool", "id", postgresql_ops=_BEGINNINGS["pool"]),
    Index("ix_snapshots_type_id", "type_id"),
    Index("ix_snapshots_status", "status"),
    _some("ix_snapshots_operation_id", "operation_id", where="operation_id IS NOT NULL"),
    info=_tells("id", "group_snapshot_id"),
)

recycle_clock = sa.Table(
    "recycle_clock",  # one row: how much time the recycle bin has seen pass
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seconds", NUMBER, nullable=False),
    Column("seen_at", NUMBER, nullable=False),  # when it looked last, in seconds since the epoch
)

backups = sa.Table(
    "backups",
    metadata,
    _key(),
    Column("project_id", ID, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("volume_id", ID, nullable=False, index=True),  # which may be gone
    Column("snapshot_id", ID),
    Column("parent_id", ID, index=True),  # of an imported one it may be missing
    Column("name", NAME),
    Column("description", Text),
    Column("size", Integer, nullable=False),
    Column("status", State(BackupStatus), nullable=False),
    Column("fail_reason", Text),
    Column("availability_zone", NAME),
    Column("container", NAME),
    Column("prefix", NAME),  # of the names of its objects in the container
    Column("object_count", Integer, nullable=False),
    Column("data_timestamp", TIME, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("source", JSON, nullable=False),  # what its volume was
    Column("encryption_key_id", ID),
    Column("pool", NAME),  # its volume's, where its objects are written
    Column("operation_id", ID),
    *_times(),
    Index("ix_backups_page", "project_id", "created_at", "id"),
    Index("ix_backups_all", "created_at", "id"),
    Index("ix_backups_prefix", "prefix"),
    info=_tells("id", "parent_id"),
)

groups = sa.Table(
    "groups",
    metadata,
    _key(),
    Column("project_id", ID, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("name", NAME),
    Column("description", Text),
    Column("status", State(GroupStatus), nullable=False),
    Column("group_type_id", ID, nullable=False, index=True),
    Column("volume_types", JSON_LIST, nullable=False),  # the ids of those that its volumes may have
    Column("availability_zone", NAME, nullable=False),
    Column("host", NAME),  # host@backend, once one is chosen
    Column("group_snapshot_id", ID),  # what it was made from, like the next
    Column("source_group_id", ID),
    Column("operation_id", ID),
    *_times(),
    Index("ix_groups_page", "project_id", "created_at", "id"),
    Index("ix_groups_all", "created_at", "id"),
    info=_tells("id"),
)

group_snapshots = sa.Table(
    "group_snapshots",
    metadata,
    _key(),
    Column("project_id", ID, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("group_id", ID, nullable=False, index=True),
    Column("group_type_id", ID, nullable=False),
    Column("name", NAME),
    Column("description", Text),
    Column("status", State(GroupSnapshotStatus), nullable=False),
    Column("operation_id", ID),
    *_times(),
    Index("ix_group_snapshots_page", "project_id", "created_at", "id"),
    Index("ix_group_snapshots_all", "created_at", "id"),
    info=_tells("id"),
)

transfers = sa.Table(
    "transfers",
    metadata,
    _key(),
    Column("volume_id", ID, ForeignKey("volumes.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("project_id", ID, nullable=False, index=True),  # whose volume it is
    Column("name", NAME),
    Column("digest", sa.String(64), nullable=False),  # of the key, which is never stored
    Column("no_snapshots", Boolean, nullable=False),
    Column("created_at", TIME, nullable=False),
)

attachments = sa.Table(
    "attachments",
    metadata,
    _key(),
    Column("volume_id", ID, ForeignKey("volumes.id"), nullable=False, index=True),
    Column("project_id", ID, nullable=False),
    Column("server_id", ID, index=True),
    Column("host", NAME),
    Column("device", NAME),
    Column("status", State(AttachStatus), nullable=False),
    Column("mode", WORD, nullable=False),  # rw, ro
    Column("connector", CONNECTOR),
    Column("portal", EXPORT),  # once it is made
    Column("chap_username", WORD),
    Column("chap_password", WORD),
    Column("next_chap_password", WORD),  # drawn by a rotation, and not yet in force
    Column("operation_id", ID),
    Column("attached_at", TIME),
    Column("older", Boolean),  # made by the older actions (os-attach, os-initialize_connection)
    *_times(),
    Index("ix_attachments_page", "project_id", "created_at", "id"),
    Index("ix_attachments_all", "created_at", "id"),
    Index("ix_attachments_status", "status"),
    _some("ix_attachments_operation_id", "operation_id", where="operation_id IS NOT NULL"),
    info=_tells("id", "volume_id"),
)

positions = sa.Table(
    "positions",  # of those who follow the log, by their names
    metadata,
    Column("name", WORD, primary_key=True),
    Column("number", BigInteger, nullable=False),  # up to which it was told
    Column("updated_at", TIME, nullable=False),
)

webhooks = sa.Table(
    "webhooks",
    metadata,
    _key(),
    Column("project_id", ID, nullable=False),
    Column("url", Text, nullable=False),
    Column("description", Text),
    Column("kinds", JSON_LIST, nullable=False),  # of operations, with *
    Column("outcomes", JSON_LIST, nullable=False),
    Column("format", WORD, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("secret", NAME, nullable=False),
    Column("cursor", BigInteger, nullable=False),  # up to which number of the log its deliveries were enqueued
    Column("failing_since", TIME),
    Column("disabled_reason", Text),
    *_times(),
    Index("ix_webhooks_project_id", "project_id", "created_at", "id"),
)

messages = sa.Table(
    "messages",
    metadata,
    _key(),
    Column("project_id", ID, nullable=False, index=True),
    Column("resource_type", WORD, nullable=False),
    Column("resource_id", ID),
    Column("event_id", WORD, nullable=False),
    Column("level", WORD, nullable=False),
    Column("text", Text, nullable=False),
    Column("request_id", WORD),
    Column("created_at", TIME, nullable=False),
    Column("expires_at", TIME, nullable=False, index=True),
)

schedules = sa.Table(
    "schedules",
    metadata,
    _key(),
    Column("project_id", ID, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("name", NAME, nullable=False),
    Column("makes", WORD, nullable=False),  # snapshot, backup
    Column("volume_id", ID),  # of this and the two that follow one is there
    Column("group_id", ID),
    Column("tags", JSON),
    Column("cron", NAME, nullable=False),
    Column("timezone", NAME, nullable=False),
    Column("keep", JSON, nullable=False),
    Column("full_every", Integer),
    Column("container", NAME),
    Column("enabled", Boolean, nullable=False),
    Column("next_run_at", TIME),
    Column("planned_at", TIME),
    Column("last_run_id", ID),
    Column("clear_at", TIME),  # when to go on with deleting it and what it made; null while it stays
    Column("cleared_at", TIME),  # when that came on last
    *_times(),
    Index("ix_schedules_page", "project_id", "created_at", "id"),
    Index("ix_schedules_all", "created_at", "id"),
    _some("ix_schedules_next_run_at", "next_run_at", where="next_run_at IS NOT NULL"),
    _some("ix_schedules_planned_at", "planned_at", where="planned_at IS NOT NULL"),
    _some("ix_schedules_clear_at", "clear_at", where="clear_at IS NOT NULL"),
    info=_tells("id"),
)

schedule_runs = sa.Table(
    "schedule_runs",
    metadata,
    _key(),
    Column("schedule_id", ID, ForeignKey("schedules.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", ID, nullable=False),
    Column("due_at", TIME, nullable=False),
    Column("manual", Boolean, nullable=False),
    Column("state", WORD, nullable=False),
    Column("started_at", TIME, nullable=False),
    Column("finished_at", TIME),
    Column("volumes", Integer, nullable=False),
    Column("made", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("error", Text),
    Column("listed", Boolean, nullable=False),
    Column("listed_at", TIME),
    Column("listed_id", ID),
    Column("look_at", TIME),
    UniqueConstraint("schedule_id", "due_at"),
    Index("ix_schedule_runs_finished_at", "finished_at"),
    _some("ix_schedule_runs_look_at", "look_at", where="look_at IS NOT NULL"),
)

schedule_items = sa.Table(
    "schedule_items",  # what a run does with each volume or group; and who has made a snapshot or backup
    metadata,
    _key(),
    Column("run_id", ID, ForeignKey("schedule_runs.id", ondelete="SET NULL")),
    Column("schedule_id", ID, ForeignKey("schedules.id", ondelete="CASCADE"), nullable=False),
    Column("target_id", ID, nullable=False),
    Column("state", WORD, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("operation_id", ID),
    Column("made_id", ID),
    Column("made_at", TIME),
    Column("name", NAME),
    Column("error", Text),
    Index("ix_schedule_items_run_id", "run_id", "state", "tries"),
    Index("ix_schedule_items_made", "schedule_id", "target_id", "made_id"),
)

# --- compute ------------------------------------------------------------------------------------

flavors = sa.Table(
    "flavors",
    metadata,
    _key(),
    Column("name", NAME, nullable=False, unique=True),
    Column("vcpus", Integer, nullable=False),
    Column("ram", Integer, nullable=False),  # MiB
    Column("disk", Integer, nullable=False),  # GiB
    Column("ephemeral", Integer, nullable=False),
    Column("swap", Integer, nullable=False),  # MiB
    Column("is_public", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("description", Text),
    Column("extra_specs", JSON, nullable=False),
    Column("rxtx_factor", Float),  # told again; none is 1.0
)

servers = sa.Table(
    "servers",
    metadata,
    _key(),
    Column("project_id", ID, nullable=False),
    Column("user_id", ID, nullable=False),
    Column("name", NAME, nullable=False),
    Column("description", Text),
    Column("status", State(ServerStatus), nullable=False),
    Column("task", WORD),  # Nova's task_state: what the running operation is about
    Column("host", NAME),
    Column("flavor", JSON, nullable=False),  # the flavor as it was when the server was made
    Column("image_id", ID),
    Column("key_name", NAME),
    Column("metadata", JSON, nullable=False),
    Column("tags", JSON_LIST, nullable=False),
    Column("locked", Boolean, nullable=False),
    Column("fault", JSON),
    Column("availability_zone", NAME, nullable=False),
    Column("operation_id", ID),
    Column("launched_at", TIME),
    Column("kept", JSON),  # what the client said only to see it again
    *_times(),
    Column("locked_by", WORD),  # owner or admin
    Column("locked_reason", NAME),
    Index("ix_servers_page", "project_id", "created_at", "id"),
    Index("ix_servers_host", "host"),
    Index("ix_servers_status", "status"),
    _some("ix_servers_task", "task", where="task IS NOT NULL"),
    _some("ix_servers_operation_id", "operation_id", where="operation_id IS NOT NULL"),
    info=_tells("id"),
)

server_disks = sa.Table(
    "server_disks",
    metadata,
    _key(),
    Column("server_id", ID, ForeignKey("servers.id"), nullable=False),
    Column("device", WORD, nullable=False),  # vda, vdb…
    Column("volume_id", ID),  # none for a disk on the host's own storage
    Column("attachment_id", ID),
    Column("image_id", ID),  # what a local disk, or a volume still to be made, is made from
    Column("boot_index", Integer),
    Column("delete_on_termination", Boolean, nullable=False),
    Column("tag", NAME),
    Column("created_at", TIME, nullable=False),
    UniqueConstraint("server_id", "device"),
    UniqueConstraint("server_id", "volume_id"),
    Index("ix_server_disks_volume_id", "volume_id"),
    Index("ix_server_disks_attachment_id", "attachment_id"),
)

# --- the store's own ----------------------------------------------------------------------------

commits = sa.Table(
    "commits",  # on PostgreSQL: what was committed of late, see store/postgres.py
    metadata,
    Column("seal", BigInteger, primary_key=True, autoincrement=False),
)

turns = [
    sa.Table(f"turns_{number}", metadata, Column("unused", Integer, primary_key=True)) for number in range(8)
]
"""Empty tables, which transactions lock that are bound to meet in one row (``store/serialize.py``)."""

# --- what is ours outside -------------------------------------------------------------------------

installation = sa.Table(
    "installation",  # one row: who this is
    metadata,
    Column("id", ID, primary_key=True),
    Column("made_at", TIME, nullable=False),
)

marked_places = sa.Table(
    "marked_places",  # where it has left its mark: one that is missing there is lost
    metadata,
    Column("name", NAME, primary_key=True),
    Column("marked_at", TIME, nullable=False),
)

tombstones = sa.Table(
    "tombstones",
    metadata,
    Column("kind", WORD, primary_key=True),
    Column("id", WORD, primary_key=True),
    Column("place", NAME, primary_key=True),
    Column("buried_at", TIME, nullable=False, index=True),
)
