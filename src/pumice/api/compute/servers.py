"""Servers: create, list, show, update, delete (api-ref, "Servers")."""

import secrets
import string
from collections.abc import Mapping, Sequence
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.compute import server_list
from pumice.api.compute.block_devices import disks_of
from pumice.api.compute.hardware import hardware_of
from pumice.api.compute.links import VERSION, Links
from pumice.api.compute.queries import without_query
from pumice.api.compute.server_body import PIN, CreateBody, ServerBody, UpdateBody, kept
from pumice.api.compute.server_metadata import refuse_many
from pumice.api.compute.server_view import VIEW, ServerView, Shown, reservation_id
from pumice.api.policy import ADMIN, MEMBER, READER, Rule
from pumice.api.routing import Route, writes
from pumice.images.for_volume import VolumeImage, image_for_volume, least
from pumice.model.errors import Conflict, Forbidden, Invalid, NotFound
from pumice.model.scope import Scope
from pumice.model.server import Flavor, Server
from pumice.model.tunables import Tunables
from pumice.model.units import GIB
from pumice.operations.at_once import AtOnce, record
from pumice.servers import boot, delete
from pumice.servers.boot import DiskWanted, ServerWanted
from pumice.store import flavors, servers, services, snapshots, volumes
from pumice.store.database import Transaction

_LETTERS = string.ascii_letters + string.digits
PASSWORD_LENGTH = 12


# --- reading -------------------------------------------------------------------------------------------------

INDEX_ALL = Rule("os_compute_api:servers:index:get_all_tenants", ADMIN)
DETAIL_ALL = Rule("os_compute_api:servers:detail:get_all_tenants", ADMIN)
INDEX, DETAIL = server_list.of_servers(INDEX_ALL), server_list.of_servers(DETAIL_ALL)
ATTACH = Rule("os_compute_api:servers:create:attach_volume", MEMBER)
NO_DISK = Rule("os_compute_api:servers:create:zero_disk_flavor", ADMIN)


def _shown(tx: Transaction, call: Call, found: Sequence[Server]) -> ServerView:
    disks = servers.disks_of(tx, [server.id for server in found])
    return ServerView(call, Shown(found, disks, _hosts(tx, call.ctx.tunables)))


async def show(call: Call) -> Reply:
    """``GET /servers/{id}``."""
    shown = await call.ctx.db.read(_one, call.who, call.args["id"], call.ctx.tunables)
    return Reply({"server": ServerView(call, shown).show(shown.servers[0])})


def _one(tx: Transaction, who: Scope, server_id: str, tunables: Tunables) -> Shown:
    server = servers.get(tx, who, server_id)
    return Shown((server,), {server.id: servers.disks(tx, server.id)}, _hosts(tx, tunables))


def _hosts(tx: Transaction, tunables: Tunables) -> dict[str, str]:
    return {
        row["host"]: "UP" if services.is_up(row, tunables.service_down_seconds) else "DOWN"
        for row in services.every(tx, binary=servers.COMPUTE_BINARY)
    }


# --- creating ------------------------------------------------------------------------------------------------


async def create(call: Call) -> Reply:
    """``POST /servers``."""
    body_asked = await call.parse(CreateBody)
    asked, hints = body_asked.server, body_asked.all_hints()
    asked.check(call)
    disks = disks_of(asked.image, asked.devices, asked.legacy_devices, call.version)
    if asked.devices or asked.legacy_devices:
        call.policy.require(ATTACH, call.who)
    try:
        server = await call.ctx.db.write(_create, call, asked, disks, hints)
    except NotFound as error:  # what the body names is not there; the resource in the path is
        raise Invalid(str(error)) from None
    if asked.return_reservation_id:
        return Reply({"reservation_id": reservation_id(server)}, 202)
    links = Links(call)
    groups = [{"name": group.name} for group in asked.security_groups or ()]
    body = {
        "id": server.id,
        "links": links.to("servers", server.id),
        "OS-DCF:diskConfig": asked.disk_config,
        "security_groups": groups or [{"name": "default"}],
        "adminPass": asked.admin_password or _password(),
    }
    return Reply({"server": body}, 202, {"Location": links.own("servers", server.id)})


def _password() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(PASSWORD_LENGTH))


def _create(
    tx: Transaction, call: Call, asked: ServerBody, disks: list[DiskWanted], hints: dict[str, Any]
) -> Server:
    flavor = flavors.get(tx, call.who, asked.flavor)
    root = next(disk for disk in disks if disk.boot_index == 0)
    _check_zone(tx, asked.availability_zone)
    refuse_many(asked.metadata)
    if root.image_id is not None:
        _check_local(call, flavor, image_for_volume(tx, call.who, root.image_id))
    for disk in disks:
        _check_volume(tx, call, disk, has_image=asked.image is not None)
    image = _metadata_of(tx, call.who, root) or {}
    if least(image, "min_ram") > flavor.ram:
        raise Invalid("Flavor's memory is too small for requested image.")
    wanted = ServerWanted(
        name=asked.name,
        flavor=flavor,
        disks=disks,
        image_id=root.image_id,
        description=asked.description if call.version >= (2, 19) else asked.name,
        availability_zone=asked.availability_zone,
        metadata=asked.metadata,
        tags=sorted(set(asked.tags)),
        kept=asked.kept(hints),
        hardware=hardware_of(flavor, image),
    )
    return boot.accept(tx, call.who, wanted, call.ctx.tunables)


def _check_zone(tx: Transaction, zone: str | None) -> None:
    if zone and zone not in {row["zone"] for row in services.every(tx, binary=servers.COMPUTE_BINARY)}:
        raise Invalid("The requested availability zone is not available")


def _check_local(call: Call, flavor: Flavor, image: VolumeImage) -> None:
    """Whether the flavor holds a copy of the image. Raises ``Invalid`` or ``Forbidden``."""
    if flavor.disk == 0 and not call.policy.allows(NO_DISK, call.who):
        raise Forbidden("Only volume-backed instances are allowed for flavors with zero disk.")
    needed = max(image.min_disk * GIB, image.virtual_size)
    if flavor.disk and needed > flavor.disk * GIB:
        raise Invalid(
            f"Flavor's disk is too small for requested image. Flavor disk is {flavor.disk * GIB} bytes, "
            f"the image needs {needed} bytes."
        )


def _metadata_of(tx: Transaction, who: Scope, disk: DiskWanted) -> Mapping[str, Any] | None:
    """What the image said, of which a disk is or will be a copy."""
    if disk.volume_id:
        return volumes.get(tx, who, disk.volume_id).image_metadata
    if disk.new_volume and disk.new_volume.snapshot_id:
        snapshot = snapshots.get(tx, who, disk.new_volume.snapshot_id)
        return snapshots.of_its_moment(tx, snapshot).image_metadata
    image_id = disk.new_volume.image_id if disk.new_volume else disk.image_id
    return image_for_volume(tx, who, image_id).metadata() if image_id else None


def _check_volume(tx: Transaction, call: Call, disk: DiskWanted, *, has_image: bool) -> None:
    """Whether a volume can be the disk that it is to be. Raises ``Invalid`` or ``NotFound``.

    Who names an image besides is believed that the server boots.
    """
    if disk.volume_id:
        volume = volumes.get(tx, call.who, disk.volume_id)
        refuse_multiattach(call, volume.multiattach)
        bootable = volume.bootable
    elif disk.new_volume and disk.new_volume.snapshot_id:
        snapshot = snapshots.get(tx, call.who, disk.new_volume.snapshot_id)
        bootable = bool(snapshots.of_its_moment(tx, snapshot).bootable)
    else:
        bootable = disk.new_volume is None or disk.new_volume.image_id is not None
    if disk.boot_index == 0 and not (bootable or has_image):
        known = disk.volume_id or "of the boot index 0"
        raise Invalid(f"Block Device {known} is not bootable.")


def refuse_multiattach(call: Call, multiattach: bool) -> None:
    """Clients of before 2.60 do not know that a volume may have several servers. Raises ``Invalid``."""
    if multiattach and call.version < (2, 60):
        raise Invalid("Multiattach volumes are only supported starting with compute API version 2.60.")


# --- changing ------------------------------------------------------------------------------------------------


async def update(call: Call) -> Reply:
    """``PUT /servers/{id}``: its name and description."""
    body = await call.parse_only(UpdateBody, "server")
    body.only_since(call.version, {"description": (2, 19), "hostname": (2, 90)})
    body.only_since(call.version, {PIN: (2, 104)})
    changes = body.model_dump(include=body.model_fields_set & {"name", "description"})

    def work(tx: Transaction) -> Shown:
        server = servers.get(tx, call.who, call.args["id"])
        said = kept(body) | ({PIN: _pin(server, body)} if PIN in body.model_fields_set else {})
        servers.change(tx, server.id, **changes, kept={**(server.kept or {}), **said})
        record(tx, AtOnce.SERVER_UPDATE, server, call.who)
        return _one(tx, call.who, server.id, call.ctx.tunables)

    shown = await call.ctx.db.write(work)
    return Reply({"server": ServerView(call, shown).updated(shown.servers[0])})


def _pin(server: Server, body: UpdateBody) -> str | None:
    """The zone that a server is pinned to from now on: its own, or none. Raises ``Conflict``."""
    asked, pinned = body.pinned_availability_zone, (server.kept or {}).get(PIN)
    if asked is not None and pinned not in (None, asked):
        raise Conflict(
            "Cannot change pinned availability zone directly. Unpin first by setting "
            "pinned_availability_zone to null."
        )
    if asked not in (None, server.availability_zone):
        raise Conflict(
            f"Server can only be pinned to its current availability zone '{server.availability_zone}', but "
            f"'{asked}' was requested."
        )
    return asked


_PATH, _RULE = f"{VERSION}/servers", "os_compute_api:servers"
_INDEX = INDEX.answers_with("servers", lambda tx, call, found: _shown(tx, call, found).summary)
_DETAIL = DETAIL.answers_with("servers", lambda tx, call, found: _shown(tx, call, found).detail)
ROUTES = (
    Route(
        "GET", _PATH, _INDEX, Rule(f"{_RULE}:index", READER), also=(INDEX_ALL, server_list.ALL_FILTERS, *VIEW)
    ),
    Route("POST", _PATH, create, Rule(f"{_RULE}:create", MEMBER), also=(ATTACH, NO_DISK)),
    Route(
        "GET",
        f"{_PATH}/detail",
        _DETAIL,
        Rule(f"{_RULE}:detail", READER),
        also=(DETAIL_ALL, server_list.ALL_FILTERS, *VIEW),
    ),
    Route("GET", f"{_PATH}/{{id}}", without_query(show), Rule(f"{_RULE}:show", READER), also=VIEW, live=True),
    Route("PUT", f"{_PATH}/{{id}}", update, Rule(f"{_RULE}:update", MEMBER), also=VIEW),
    Route("DELETE", f"{_PATH}/{{id}}", writes(delete.accept, 204), Rule(f"{_RULE}:delete", MEMBER)),
)
