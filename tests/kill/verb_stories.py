"""For each verb: the stage it needs, the request that begins it, and what must be true once it has ended."""

import asyncio
import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.boot_sector import boot_sector
from tests.conformance.target_rigs import opens
from tests.hook_receiver import receiver
from tests.kill.victim import LARGE, SHARING, Victim
from tests.pumice_installation import (
    ATTACHMENTS,
    BACKUPS,
    GROUP_SNAPSHOTS,
    GROUP_TYPES,
    GROUPS,
    IMAGES,
    SERVERS,
    SNAPSHOTS,
    VOLUMES,
    WEBHOOKS,
)

from pumice.hypervisor.contract import Disk, FileSource, Power
from pumice.hypervisor.libvirt import LibvirtHypervisor
from pumice.model.ids import ServerId, new_id

Stage = dict[str, str]
CONNECTOR = {"initiator": "iqn.2026-11.org.example:client", "host": "client", "ip": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class VerbStory:
    """How a verb is tried."""

    prepare: Callable[[Victim], Stage]
    """Sets the stage, while nothing goes wrong."""
    request: Callable[[Victim, Stage], object]
    check: Callable[[Victim, Stage, bool], None]
    """Told whether it was to end well; asserts what the tenant sees, and clears the stage."""


# --- volumes and snapshots ----------------------------------------------------------------------


def nothing(pumice: Victim) -> Stage:
    return {"name": new_id()}


def a_volume(pumice: Victim) -> Stage:
    stage = {"volume": pumice.stories.create()}
    pumice.settle()
    return stage


def a_snapshot(pumice: Victim) -> Stage:
    stage = a_volume(pumice)
    body = {"snapshot": {"volume_id": stage["volume"], "name": new_id()}}
    stage["snapshot"] = pumice.call("POST", SNAPSHOTS, body)["snapshot"]["id"]
    pumice.settle()
    return stage


def create_volume(pumice: Victim, stage: Stage) -> httpx.Response:
    wanted = {"size": 1, "name": stage["name"], "imageRef": pumice.stories.image}
    return pumice.http.post(VOLUMES, json={"volume": wanted})


def volume_was_made(pumice: Victim, stage: Stage, well: bool) -> None:
    [volume] = pumice.call("GET", f"{VOLUMES}/detail?name={stage['name']}")["volumes"]
    assert volume["status"] == ("available" if well else "error"), volume
    pumice.stories.delete(f"{VOLUMES}/{volume['id']}")


def delete_volume(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.delete(f"{VOLUMES}/{stage['volume']}")


def delete_volume_with_snapshots(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.delete(f"{VOLUMES}/{stage['volume']}?cascade=true")


BIN = "/pumice/v1/recycle-bin"


def a_volume_in_the_bin(pumice: Victim) -> Stage:
    """A volume and its snapshot, deleted while their project keeps what it deletes."""
    stage = a_snapshot(pumice)
    keeps(pumice, "7")
    assert delete_volume_with_snapshots(pumice, stage).status_code == 202
    keeps(pumice, "0")
    assert len(pumice.call("GET", BIN)["recycle_bin"]) == 2
    return stage


def keeps(pumice: Victim, days: str) -> None:
    """Say for how long the project that asks keeps what it deletes."""
    mine = pumice.call("GET", "/identity/v3/auth/projects")["projects"]
    for project in mine:
        body = {"project": {"pumice:recycle_days": days}}
        assert pumice.http.patch(f"/identity/v3/projects/{project['id']}", json=body).status_code == 200


def purge(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.delete(f"{BIN}/{stage['volume']}")


def bin_is_empty(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.is_gone(f"{BIN}/{stage['volume']}")
    assert pumice.call("GET", BIN)["recycle_bin"] == []
    volume_is_gone(pumice, stage, well)


def volume_is_gone(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.is_gone(f"{VOLUMES}/{stage['volume']}")


def asks(name: str, body: object) -> Callable[[Victim, Stage], httpx.Response]:
    """An action on the volume."""
    return lambda pumice, stage: pumice.http.post(f"{VOLUMES}/{stage['volume']}/action", json={name: body})


def is_larger(pumice: Victim, stage: Stage, well: bool) -> None:
    volume = pumice.call("GET", f"{VOLUMES}/{stage['volume']}")["volume"]
    assert (volume["status"], volume["size"]) == ("in-use", 2 if well else 1)
    assert asyncio.run(libvirt(pumice).power(ServerId(stage["server"]))) is Power.RUNNING
    is_attached(pumice, stage, True)


def reimage(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.stories.reimage(stage["volume"])


def is_reimaged(pumice: Victim, stage: Stage, well: bool) -> None:
    volume = pumice.call("GET", f"{VOLUMES}/{stage['volume']}")["volume"]
    assert (volume["status"], volume["bootable"]) == (("available", "true") if well else ("error", "false"))
    [pool] = (pumice.state_dir / "volumes").iterdir()
    with (pool / "volumes" / stage["volume"]).open("rb") as file:
        assert bool(file.read(1024).strip(b"\0")) is well, "it has the image's bytes exactly if it ended well"
    assert not [path for path in pool.iterdir() if path.name.startswith("reimage")]


def a_volume_and_an_encrypted_type(pumice: Victim) -> Stage:
    types = pumice.call("GET", "/volume/v3/types")["volume_types"]
    if "encrypted" not in {kind["name"] for kind in types}:
        pumice.stories.encrypted_type()
    stage = a_volume(pumice)
    with bytes_of(pumice, stage)[0].open("r+b") as file:
        for at in WORDS_AT:
            file.seek(at)
            file.write(WORD)
    return stage


WORD, WORDS_AT = b"what nobody may read", (0, 500 * 1024**2, 1022 * 1024**2 - 512)
"""The last is at the end of what an encrypted volume of 1 GiB has room for."""


def of_another_type(pumice: Victim, stage: Stage, name: str) -> httpx.Response:
    return asks("os-retype", {"new_type": name, "migration_policy": "on-demand"})(pumice, stage)


def encrypt(pumice: Victim, stage: Stage) -> httpx.Response:
    return of_another_type(pumice, stage, "encrypted")


def is_encrypted(pumice: Victim, stage: Stage, well: bool) -> None:
    """And what is inside can be read by its key."""
    path, _ = bytes_of(pumice, stage)
    volume = pumice.call("GET", f"{VOLUMES}/{stage['volume']}")["volume"]
    assert (volume["status"], volume["encrypted"]) == ("available", well)
    assert volume["volume_type"] == ("encrypted" if well else "__DEFAULT__")
    node: dict[str, Any] = {"driver": "file", "filename": str(path)}
    join = "volume_keys JOIN volumes ON volume_keys.id = encryption_key_id"
    rows = pumice.rows(f"SELECT volumes.id, passphrase FROM {join}")  # noqa: S608 (ours)
    keys = [key for volume_id, _, key in (row.partition("|") for row in rows) if volume_id == stage["volume"]]
    assert len(keys) == well
    if well:
        node = {"driver": "luks", "key-secret": "key", "file": node}
    for at in WORDS_AT:
        assert read_by(node, keys, at).startswith(WORD), at
    assert path.stat().st_size == 1024**3
    assert not [one for one in path.parents[1].iterdir() if one.name.startswith("recrypt")]


def read_by(node: dict[str, Any], keys: list[str], at: int) -> bytes:
    """A sector of what is inside, as QEMU reads it."""
    with tempfile.NamedTemporaryFile() as file:
        sector = json.dumps({"driver": "raw", "offset": at, "size": 512, "file": node})
        key = ["--object", "secret,id=key,file=/dev/stdin"] if keys else []
        argv = ["qemu-img", "convert", "-U", *key, "-O", "raw", f"json:{sector}", file.name]
        subprocess.run(argv, input="".join(keys).encode(), check=True)
        return file.read()


def pools(pumice: Victim) -> tuple[str, str]:
    """Where everything comes to, and where nothing does by itself."""
    found = pumice.call("GET", "/volume/v3/scheduler-stats/get_pools")["pools"]
    here, there = sorted(pool["name"] for pool in found if f"@{SHARING}#" not in pool["name"])
    return here, there


def a_large_volume(pumice: Victim) -> Stage:
    """One with bytes at both its ends."""
    stage = {"volume": pumice.stories.create(size=LARGE)}
    pumice.settle()
    with bytes_of(pumice, stage)[0].open("r+b") as file:
        file.write(b"the first")
        file.seek(-len(b"the last"), os.SEEK_END)
        file.write(b"the last")
    return stage


def bytes_of(pumice: Victim, stage: Stage) -> tuple[Path, Path]:
    """Where the volume's bytes are before it is moved, and after."""
    [pool] = (pumice.state_dir / "volumes").iterdir()
    return pool / "volumes" / stage["volume"], pumice.elsewhere / "volumes" / stage["volume"]


def migrate(pumice: Victim, stage: Stage) -> httpx.Response:
    _, there = pools(pumice)
    return asks("os-migrate_volume", {"host": there})(pumice, stage)


def is_moved(pumice: Victim, stage: Stage, well: bool) -> None:
    volume = pumice.call("GET", f"{VOLUMES}/{stage['volume']}")["volume"]
    migration = volume["os-vol-mig-status-attr:migstat"]
    assert (volume["status"], migration) == ("available", "success" if well else "error"), volume
    assert volume["os-vol-host-attr:host"] == pools(pumice)[well]
    left, has = bytes_of(pumice, stage) if well else reversed(bytes_of(pumice, stage))
    assert not left.exists()
    with has.open("rb") as file:
        assert file.read(9) == b"the first"
        file.seek(-8, os.SEEK_END)
        assert file.read() == b"the last"
    assert has.stat().st_size == LARGE * 1024**3 and has.stat().st_blocks < 16 * 1024
    pumice.stories.delete(f"{VOLUMES}/{stage['volume']}")


def is_moved_and_free(pumice: Victim, stage: Stage, well: bool) -> None:
    """However the freeing ended: it fails when the bytes are gone."""
    is_moved(pumice, stage, True)


def a_clone(pumice: Victim) -> Stage:
    """A volume that may share its bytes with another."""
    first = a_volume(pumice)["volume"]
    stage = {"volume": pumice.stories.create(source_volid=first)}
    pumice.settle()
    pumice.stories.delete(f"{VOLUMES}/{first}")
    return stage


def flatten(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.post(f"/pumice/v1/volumes/{stage['volume']}/actions/flatten")


def revert(pumice: Victim, stage: Stage) -> httpx.Response:
    return asks("revert", {"snapshot_id": stage["snapshot"]})(pumice, stage)


def is_reverted(pumice: Victim, stage: Stage, well: bool) -> None:
    volume_is_free(pumice, stage, well)
    snapshot = pumice.call("GET", f"{SNAPSHOTS}/{stage['snapshot']}")["snapshot"]
    assert snapshot["status"] == "available"


def upload(pumice: Victim, stage: Stage) -> httpx.Response:
    return asks("os-volume_upload_image", {"image_name": stage["volume"]})(pumice, stage)


def became_an_image(pumice: Victim, stage: Stage, well: bool) -> None:
    volume_is_free(pumice, stage, well)
    found = pumice.call("GET", f"{IMAGES}?name={stage['volume']}")["images"]
    assert [image["status"] for image in found] == (["active"] if well else [])
    for image in found:
        pumice.stories.delete(f"{IMAGES}/{image['id']}")


# --- disks that nobody manages ------------------------------------------------------------------


def manageable(pumice: Victim) -> Path:
    """Where they lie: beside the shelves of the only pool."""
    [pool] = (pumice.state_dir / "volumes").iterdir()
    return pool


def manageable_bytes(pumice: Victim) -> Stage:
    stage = nothing(pumice)
    (manageable(pumice) / stage["name"]).write_bytes(b"somebody's")
    return stage


def manage(pumice: Victim, stage: Stage) -> httpx.Response:
    pool, _ = pools(pumice)
    wanted = {"host": pool, "ref": {"source-name": stage["name"]}, "name": stage["name"]}
    return pumice.http.post("/volume/v3/os-volume-manage", json={"volume": wanted})


def is_managed(pumice: Victim, stage: Stage, well: bool) -> None:
    [volume] = pumice.call("GET", f"{VOLUMES}/detail?name={stage['name']}")["volumes"]
    wanted = ("available", 1) if well else ("error_managing", 0)
    assert (volume["status"], volume["size"]) == wanted, volume
    assert (manageable(pumice) / stage["name"]).exists() is not well
    pumice.stories.delete(f"{VOLUMES}/{volume['id']}")


def is_let_go(pumice: Victim, stage: Stage, well: bool) -> None:
    kept = manageable(pumice) / f"unmanaged-{stage['volume']}"
    assert kept.exists() is well
    if well:
        volume_is_gone(pumice, stage, well)
        kept.unlink()
    else:
        volume_is_free(pumice, stage, well)


def list_manageable(pumice: Victim, stage: Stage) -> httpx.Response:
    pool, _ = pools(pumice)
    return pumice.http.get("/volume/v3/os-volume-manage", params={"host": pool})


def stays_manageable(pumice: Victim, stage: Stage, well: bool) -> None:
    (manageable(pumice) / stage["name"]).unlink()


def create_snapshot(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.post(SNAPSHOTS, json={"snapshot": {"volume_id": stage["volume"]}})


def snapshot_was_made(pumice: Victim, stage: Stage, well: bool) -> None:
    [snapshot] = pumice.call("GET", f"{SNAPSHOTS}/detail?volume_id={stage['volume']}")["snapshots"]
    assert snapshot["status"] == ("available" if well else "error"), snapshot


def delete_snapshot(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.delete(f"{SNAPSHOTS}/{stage['snapshot']}")


def snapshot_is_gone(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.is_gone(f"{SNAPSHOTS}/{stage['snapshot']}")


def unmanage_snapshot(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.post(f"{SNAPSHOTS}/{stage['snapshot']}/action", json={"os-unmanage": {}})


def a_volume_and_manageable_bytes(pumice: Victim) -> Stage:
    return a_volume(pumice) | manageable_bytes(pumice)


def manage_snapshot(pumice: Victim, stage: Stage) -> httpx.Response:
    wanted = {"volume_id": stage["volume"], "ref": {"source-name": stage["name"]}}
    return pumice.http.post("/volume/v3/os-snapshot-manage", json={"snapshot": wanted})


def snapshot_is_managed(pumice: Victim, stage: Stage, well: bool) -> None:
    snapshot_was_made(pumice, stage, well)
    assert (manageable(pumice) / stage["name"]).exists() is not well


def snapshot_is_let_go(pumice: Victim, stage: Stage, well: bool) -> None:
    kept = manageable(pumice) / f"unmanaged-{stage['snapshot']}"
    assert kept.exists() is well
    if well:
        snapshot_is_gone(pumice, stage, well)
        kept.unlink()
    else:
        assert pumice.call("GET", f"{SNAPSHOTS}/{stage['snapshot']}")["snapshot"]["status"] == "available"


# --- backups ------------------------------------------------------------------------------------


def in_use(pumice: Victim) -> Stage:
    """A volume whose bytes change: a copy of it is backed up."""
    stage = a_guest_with_a_volume(pumice)
    return stage | {"name": new_id()}


def back_up(pumice: Victim, stage: Stage) -> httpx.Response:
    wanted = {"volume_id": stage["volume"], "name": stage["name"], "force": True}
    return pumice.http.post(BACKUPS, json={"backup": wanted})


def is_backed_up(pumice: Victim, stage: Stage, well: bool) -> None:
    [backup] = pumice.call("GET", f"{BACKUPS}/detail?name={stage['name']}")["backups"]
    assert backup["status"] == ("available" if well else "error"), backup
    is_attached(pumice, stage, True)
    pumice.stories.delete(f"{BACKUPS}/{backup['id']}")


def a_backup(pumice: Victim) -> Stage:
    stage = a_volume(pumice) | {"name": new_id()}
    stage["backup"] = back_up(pumice, stage).json()["backup"]["id"]
    pumice.settle()
    shown = pumice.call("GET", f"{BACKUPS}/{stage['backup']}")["backup"]
    assert shown["status"] == "available", shown
    return stage


def delete_backup(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.delete(f"{BACKUPS}/{stage['backup']}")


def backup_is_gone(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.is_gone(f"{BACKUPS}/{stage['backup']}")


def restore(pumice: Victim, stage: Stage) -> httpx.Response:
    body = {"restore": {"volume_id": stage["volume"]}}
    return pumice.http.post(f"{BACKUPS}/{stage['backup']}/restore", json=body)


def is_restored(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.volume_is(stage["volume"], "available" if well else "error_restoring")
    backup_is_free(pumice, stage)


def backup_is_free(pumice: Victim, stage: Stage) -> None:
    shown = pumice.call("GET", f"{BACKUPS}/{stage['backup']}")["backup"]
    assert shown["status"] == "available", shown
    pumice.stories.delete(f"{BACKUPS}/{stage['backup']}")


def restore_anew(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.post(f"{BACKUPS}/{stage['backup']}/restore", json={"restore": {"name": stage["name"]}})


def is_restored_anew(pumice: Victim, stage: Stage, well: bool) -> None:
    volume_was_made(pumice, stage, well)
    backup_is_free(pumice, stage)


def a_record(pumice: Victim) -> Stage:
    """Of a backup that is there, made known once more under the id of one that is not."""
    stage = a_backup(pumice)
    record = pumice.call("GET", f"{BACKUPS}/{stage['backup']}/export_record")["backup-record"]
    other = new_id()
    text = base64.b64decode(record["backup_url"])
    record["backup_url"] = base64.b64encode(text.replace(stage["backup"].encode(), other.encode())).decode()
    told = json.loads(text)
    container, copy = told["container"], told["container"].replace(stage["backup"], other)
    for name in pumice.backups.names(container, told["service_metadata"]):
        data = pumice.backups.get(container, name).replace(stage["backup"].encode(), other.encode())
        pumice.backups.put(copy, name.replace(stage["backup"], other), data)
    prefix = told["service_metadata"].replace(stage["backup"], other)
    return stage | {"record": json.dumps(record), "imported": other, "container": copy, "prefix": prefix}


def import_record(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.post(f"{BACKUPS}/import_record", json={"backup-record": json.loads(stage["record"])})


def is_imported(pumice: Victim, stage: Stage, well: bool) -> None:
    shown = pumice.call("GET", f"{BACKUPS}/{stage['imported']}")["backup"]
    assert shown["status"] == ("available" if well else "error"), shown
    for backup in (stage["imported"], stage["backup"]):
        pumice.stories.delete(f"{BACKUPS}/{backup}")
    pumice.settle()
    left = pumice.backups.names(stage["container"], stage["prefix"])
    assert not (well and left), left
    pumice.backups.remove(stage["container"], left)


# --- groups -------------------------------------------------------------------------------------


def a_group_type(pumice: Victim) -> Stage:
    name = new_id()
    pumice.call("POST", GROUP_TYPES, {"group_type": {"name": name}})
    return {"name": name}


def create_group(pumice: Victim, stage: Stage) -> httpx.Response:
    wanted = {"name": stage["name"], "group_type": stage["name"], "volume_types": ["__DEFAULT__"]}
    return pumice.http.post(GROUPS, json={"group": wanted})


def group_was_made(pumice: Victim, stage: Stage, well: bool) -> None:
    [group] = pumice.call("GET", f"{GROUPS}/detail?name={stage['name']}")["groups"]
    assert group["status"] == ("available" if well else "error"), group


def a_group(pumice: Victim) -> Stage:
    stage = a_group_type(pumice)
    stage["group"] = create_group(pumice, stage).json()["group"]["id"]
    pumice.settle()
    stage["volume"] = pumice.stories.create(group_id=stage["group"], volume_type="__DEFAULT__")
    pumice.settle()
    return stage


def delete_group(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.post(f"{GROUPS}/{stage['group']}/action", json={"delete": {"delete-volumes": True}})


def group_is_gone(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.is_gone(f"{GROUPS}/{stage['group']}")
    volume_is_gone(pumice, stage, well)


def a_group_in_use(pumice: Victim) -> Stage:
    """Of two volumes that a guest has, in a pool that shares what it keeps; unused where there is none."""
    backends = json.loads(pumice.environment["PUMICE_BACKENDS"])
    sharing = next((name for name in (SHARING, "ceph") if name in backends), None)
    if sharing is None:
        return a_group(pumice)
    kind = {"name": new_id(), "extra_specs": {"volume_backend_name": sharing}}
    pumice.call("POST", "/volume/v3/types", {"volume_type": kind})
    stage = a_guest(pumice) | a_group_type(pumice) | {"type": kind["name"]}
    [made] = [one for one in pumice.call("GET", GROUP_TYPES)["group_types"] if one["name"] == stage["name"]]
    promise = {"group_specs": {"consistent_group_snapshot_enabled": "<is> True"}}
    pumice.call("POST", f"{GROUP_TYPES}/{made['id']}/group_specs", promise)
    wanted = {"name": stage["name"], "group_type": stage["name"], "volume_types": [stage["type"]]}
    stage["group"] = pumice.call("POST", GROUPS, {"group": wanted})["group"]["id"]
    pumice.settle()
    for name in ("volume", "second"):
        stage[name] = pumice.stories.create(group_id=stage["group"], volume_type=stage["type"])
        pumice.settle()
        pumice.stories.attach(stage["server"], stage[name])
        pumice.settle()
    return stage


def create_group_snapshot(pumice: Victim, stage: Stage) -> httpx.Response:
    wanted = {"name": stage["name"], "group_id": stage["group"]}
    return pumice.http.post(GROUP_SNAPSHOTS, json={"group_snapshot": wanted})


def group_snapshot_was_made(pumice: Victim, stage: Stage, well: bool) -> None:
    [made] = pumice.call("GET", f"{GROUP_SNAPSHOTS}/detail?name={stage['name']}")["group_snapshots"]
    assert made["status"] == ("available" if well else "error"), made
    snapshots = pumice.call("GET", f"{SNAPSHOTS}/detail?volume_id={stage['volume']}")["snapshots"]
    assert [one["group_snapshot_id"] for one in snapshots] == [made["id"]]
    if "server" in stage:
        assert asyncio.run(libvirt(pumice).power(ServerId(stage["server"]))) is Power.RUNNING
        pumice.stories.volume_is(stage["volume"], "in-use")


def a_group_snapshot(pumice: Victim) -> Stage:
    stage = a_group(pumice)
    made = create_group_snapshot(pumice, stage).json()["group_snapshot"]
    pumice.settle()
    return stage | {"group snapshot": made["id"]}


def delete_group_snapshot(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.delete(f"{GROUP_SNAPSHOTS}/{stage['group snapshot']}")


def group_snapshot_is_gone(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.is_gone(f"{GROUP_SNAPSHOTS}/{stage['group snapshot']}")
    assert pumice.call("GET", f"{SNAPSHOTS}?volume_id={stage['volume']}")["snapshots"] == []


def copy_group(pumice: Victim, stage: Stage) -> httpx.Response:
    wanted = {"name": f"copy of {stage['name']}", "group_snapshot_id": stage["group snapshot"]}
    return pumice.http.post(f"{GROUPS}/action", json={"create-from-src": wanted})


def group_was_copied(pumice: Victim, stage: Stage, well: bool) -> None:
    path = f"{GROUPS}/detail?list_volume=true&name=copy of {stage['name']}"
    [group] = pumice.call("GET", path)["groups"]
    assert (group["status"], len(group["volumes"])) == ("available" if well else "error", 1), group


# --- attachments --------------------------------------------------------------------------------


def connect(pumice: Victim, stage: Stage) -> httpx.Response:
    body = {"volume_uuid": stage["volume"], "connector": CONNECTOR}
    return pumice.http.post(ATTACHMENTS, json={"attachment": body})


def is_connected(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.volume_is(stage["volume"], "attaching" if well else "available")
    found = pumice.call("GET", f"{ATTACHMENTS}/detail?volume_id={stage['volume']}")["attachments"]
    assert [bool(one["connection_info"]) for one in found] == ([True] if well else []), found


def a_connection(pumice: Victim) -> Stage:
    stage = a_volume(pumice)
    answer = connect(pumice, stage)
    assert answer.status_code == 200, answer.text
    stage["link"] = answer.json()["attachment"]["id"]
    return stage


def connect_again(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.put(f"{ATTACHMENTS}/{stage['link']}", json={"attachment": {"connector": CONNECTOR}})


def is_still_connected(pumice: Victim, stage: Stage, well: bool) -> None:
    is_connected(pumice, stage, True)


def rotate(pumice: Victim, stage: Stage) -> object:
    stage["before"] = json.dumps(connection(pumice, stage))
    return pumice.command("secrets", "rotate", stage["link"])


def connection(pumice: Victim, stage: Stage) -> dict[str, Any]:
    info = pumice.call("GET", f"{ATTACHMENTS}/{stage['link']}")["attachment"]["connection_info"]
    return dict(info)


def has_another_password(pumice: Victim, stage: Stage, well: bool) -> None:
    before, now = json.loads(stage["before"]), connection(pumice, stage)
    assert (now["auth_password"] != before["auth_password"]) == well
    assert opens(now, CONNECTOR["initiator"])
    assert opens(before, CONNECTOR["initiator"]) != well


def disconnect(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.delete(f"{ATTACHMENTS}/{stage['link']}")


def volume_is_free(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.volume_is(stage["volume"], "available")


# --- servers ------------------------------------------------------------------------------------


def a_bootable_volume(pumice: Victim) -> Stage:
    stage = {"volume": pumice.stories.create(imageRef=pumice.stories.image), "name": new_id()}
    pumice.settle()
    return stage


def boot(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.post(SERVERS, json=pumice.stories.server(stage["volume"], name=stage["name"]))


def runs(pumice: Victim, stage: Stage, well: bool) -> None:
    [server] = pumice.call("GET", f"{SERVERS}/detail?name={stage['name']}")["servers"]
    assert server["status"] == ("ACTIVE" if well else "ERROR"), server
    pumice.stories.volume_is(stage["volume"], "in-use" if well else "available")
    pumice.stories.delete(f"{SERVERS}/{server['id']}")
    pumice.settle()
    pumice.stories.volume_is(stage["volume"], "available")


def a_server(pumice: Victim, *, delete_on_termination: bool = False) -> Stage:
    stage = a_bootable_volume(pumice)
    body = pumice.stories.server(stage["volume"], delete_on_termination=delete_on_termination)
    stage["server"] = pumice.call("POST", SERVERS, body)["server"]["id"]
    pumice.settle()
    return stage


def a_server_that_takes_its_volume_along(pumice: Victim) -> Stage:
    return a_server(pumice, delete_on_termination=True)


def delete_server(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.delete(f"{SERVERS}/{stage['server']}")


def server_is_gone(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.is_gone(f"{SERVERS}/{stage['server']}")
    volume_is_free(pumice, stage, well)


def server_and_volume_are_gone(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.is_gone(f"{SERVERS}/{stage['server']}")
    volume_is_gone(pumice, stage, well)


def a_guest(pumice: Victim) -> Stage:
    """A server whose guest has booted, and lets go of disks; one for all stories that do not power it off."""
    found = pumice.call("GET", f"{SERVERS}/detail?name=guest")["servers"]
    if found:
        return {"server": found[0]["id"]}
    root = a_bootable_volume(pumice)["volume"]
    server = pumice.call("POST", SERVERS, pumice.stories.server(root, name="guest"))["server"]["id"]
    pumice.settle()
    pumice.stories.wait_for_guest(server)
    return {"server": server}


def a_guest_and_a_volume(pumice: Victim) -> Stage:
    return a_guest(pumice) | a_volume(pumice)


def a_guest_with_a_volume(pumice: Victim) -> Stage:
    stage = a_guest_and_a_volume(pumice)
    pumice.stories.attach(stage["server"], stage["volume"])
    pumice.settle()
    return stage


def a_guest_with_a_volume_elsewhere(pumice: Victim) -> Stage:
    """From there the way leads to where volumes are exported."""
    stage = a_large_volume(pumice)
    migrate(pumice, stage)
    pumice.settle()
    stage |= a_guest(pumice)
    pumice.stories.attach(stage["server"], stage["volume"])
    pumice.settle()
    return stage


def migrate_in_use(pumice: Victim, stage: Stage) -> httpx.Response:
    here, _ = pools(pumice)
    return asks("os-migrate_volume", {"host": here})(pumice, stage)


def has_gone_over(pumice: Victim, stage: Stage, well: bool) -> None:
    """However it ended: it fails when the guest has gone over, and that is not taken back."""
    volume = pumice.call("GET", f"{VOLUMES}/{stage['volume']}")["volume"]
    assert (volume["status"], volume["os-vol-mig-status-attr:migstat"]) == ("in-use", "success"), volume
    assert volume["os-vol-host-attr:host"] == pools(pumice)[0]
    has, left = bytes_of(pumice, stage)
    assert not left.exists()
    with has.open("rb") as file:
        assert file.read(9) == b"the first"
        file.seek(-8, os.SEEK_END)
        assert file.read() == b"the last"
    assert asyncio.run(libvirt(pumice).power(ServerId(stage["server"]))) is Power.RUNNING
    is_attached(pumice, stage, True)
    pumice.stories.delete(f"{VOLUMES}/{stage['volume']}")


def attach(pumice: Victim, stage: Stage) -> httpx.Response:
    body = {"volumeAttachment": {"volumeId": stage["volume"]}}
    return pumice.http.post(f"{SERVERS}/{stage['server']}/os-volume_attachments", json=body)


def is_attached(pumice: Victim, stage: Stage, well: bool) -> None:
    pumice.stories.volume_is(stage["volume"], "in-use" if well else "available")
    if well:
        pumice.stories.detach(stage["server"], stage["volume"])
        pumice.settle()
        volume_is_free(pumice, stage, well)


def detach(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.delete(f"{SERVERS}/{stage['server']}/os-volume_attachments/{stage['volume']}")


def pull_a_disk(pumice: Victim, stage: Stage) -> object:
    """Behind Pumice's back, as with virsh; and have it looked for at once, not when the loop comes round."""
    disk = Disk(serial=stage["volume"], device="vdb", source=FileSource(Path("/dev/null")))
    asyncio.run(libvirt(pumice).detach(ServerId(stage["server"]), disk, 60))
    return pumice.command("audit", "--repair")


def has_its_disk_again(pumice: Victim, stage: Stage, well: bool) -> None:
    assert stage["volume"] in asyncio.run(libvirt(pumice).disks(ServerId(stage["server"])))
    is_attached(pumice, stage, well)


def libvirt(pumice: Victim) -> LibvirtHypervisor:
    return LibvirtHypervisor(pumice.state_dir / "compute", daemon=pumice.libvirtd)


def a_guest_of_its_own(pumice: Victim) -> Stage:
    """The same for stories that power it off: it has just booted."""
    found = pumice.call("GET", f"{SERVERS}/detail?name=own")["servers"]
    if not found:
        root = a_bootable_volume(pumice)["volume"]
        pumice.call("POST", SERVERS, pumice.stories.server(root, name="own"))
        pumice.settle()
        found = pumice.call("GET", f"{SERVERS}/detail?name=own")["servers"]
    server = found[0]["id"]
    boots = pumice.stories.boots(server)
    act(pumice, server, {"reboot": {"type": "HARD"}})
    pumice.settle()
    pumice.wait(lambda: pumice.stories.boots(server) > boots, "the guest does not boot", 120)
    return {"server": server}


def one_that_is_off(pumice: Victim) -> Stage:
    stage = a_guest_of_its_own(pumice)
    act(pumice, stage["server"], {"os-stop": None})
    pumice.settle()
    return stage


def act(pumice: Victim, server: str, action: object) -> httpx.Response:
    answer = pumice.http.post(f"{SERVERS}/{server}/action", json=action)
    assert answer.status_code < 500, answer.text
    return answer


def acts(action: object) -> Callable[[Victim, Stage], httpx.Response]:
    return lambda pumice, stage: act(pumice, stage["server"], action)


def is_now(status: str) -> Callable[[Victim, Stage, bool], None]:
    def check(pumice: Victim, stage: Stage, well: bool) -> None:
        pumice.stories.server_is(stage["server"], status)

    return check


def a_webhook(pumice: Victim) -> Stage:
    path = f"/{new_id()}"
    body = {"webhook": {"url": receiver().url(path), "kinds": ["nothing.at_all"]}}
    made = pumice.call("POST", WEBHOOKS, body)["webhook"]
    return {"webhook": made["id"], "path": path}


def ask_for_a_delivery(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.post(f"{WEBHOOKS}/{stage['webhook']}/actions/test")


def is_delivered(pumice: Victim, stage: Stage, well: bool) -> None:
    ids = {headers["webhook-id"] for _, headers, _ in receiver().at(stage["path"])}
    assert len(ids) == 1 or not well, "at least once, and each time the same"
    assert pumice.http.delete(f"{WEBHOOKS}/{stage['webhook']}").status_code == 204


BASES = "/pumice/v1/image-cache"


def a_new_image(pumice: Victim) -> Stage:
    """One that is worth a base also where clones are copies."""
    raw, qcow2 = (pumice.state_dir.parent / f"image.{end}" for end in ("raw", "qcow2"))
    raw.write_bytes(boot_sector())
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
    return {"name": new_id(), "image": pumice.stories.upload(qcow2.read_bytes(), "qcow2")}


def create_of_image(pumice: Victim, stage: Stage) -> httpx.Response:
    wanted = {"size": 1, "name": stage["name"], "imageRef": stage["image"]}
    return pumice.http.post(VOLUMES, json={"volume": wanted})


def bases_of(pumice: Victim, stage: Stage) -> list[Any]:
    found = pumice.call("GET", BASES)["image_bases"]
    return [base for base in found if base["image_id"] == stage["image"]]


def volume_and_base_are_made(pumice: Victim, stage: Stage, well: bool) -> None:
    [base] = bases_of(pumice, stage)
    assert base["status"] == ("available" if well else "error")
    volume_was_made(pumice, stage, True)
    forget_image(pumice, stage)


def forget_image(pumice: Victim, stage: Stage) -> None:
    """Delete the image, and wait until its base has been evicted: else the next trial dies of that."""
    pumice.stories.delete(f"{IMAGES}/{stage['image']}")
    for base in bases_of(pumice, stage):
        pumice.http.post(f"{BASES}/{base['id']}/actions/evict")  # refused where a loop was first
    pumice.wait(lambda: bases_of(pumice, stage) == [], "the base of an image that is gone stays")


def a_base(pumice: Victim) -> Stage:
    stage = a_new_image(pumice)
    create_of_image(pumice, stage)
    pumice.settle()
    [base] = bases_of(pumice, stage)
    return stage | {"base": base["id"]}


def evict(pumice: Victim, stage: Stage) -> httpx.Response:
    return pumice.http.post(f"{BASES}/{stage['base']}/actions/evict")


def base_is_gone(pumice: Victim, stage: Stage, well: bool) -> None:
    assert bases_of(pumice, stage) == []
    volume_was_made(pumice, stage, True)
    forget_image(pumice, stage)


CONSOLE = {"os-getConsoleOutput": {"length": None}}
STORIES = {
    "volume.create": VerbStory(nothing, create_volume, volume_was_made),
    "volume.delete": VerbStory(a_volume, delete_volume, volume_is_gone),
    "volume.delete_when_free": VerbStory(
        a_server_that_takes_its_volume_along, delete_server, server_and_volume_are_gone
    ),
    "volume.delete_with_snapshots": VerbStory(a_volume_in_the_bin, purge, bin_is_empty),
    "volume.extend": VerbStory(a_guest_with_a_volume, asks("os-extend", {"new_size": 2}), is_larger),
    "volume.flatten": VerbStory(a_clone, flatten, volume_is_free),
    "volume.reimage": VerbStory(a_volume, reimage, is_reimaged),
    "volume.recrypt": VerbStory(a_volume_and_an_encrypted_type, encrypt, is_encrypted),
    "volume.migrate": VerbStory(a_large_volume, migrate, is_moved),
    "volume.migrate_in_use": VerbStory(a_guest_with_a_volume_elsewhere, migrate_in_use, has_gone_over),
    "volume.vacate": VerbStory(a_large_volume, migrate, is_moved_and_free),
    "volume.revert": VerbStory(a_snapshot, revert, is_reverted),
    "volume.upload": VerbStory(a_volume, upload, became_an_image),
    "volume.manage": VerbStory(manageable_bytes, manage, is_managed),
    "volume.unmanage": VerbStory(a_volume, asks("os-unmanage", {}), is_let_go),
    "pool.strangers": VerbStory(manageable_bytes, list_manageable, stays_manageable),
    "snapshot.create": VerbStory(a_volume, create_snapshot, snapshot_was_made),
    "snapshot.delete": VerbStory(a_snapshot, delete_snapshot, snapshot_is_gone),
    "snapshot.manage": VerbStory(a_volume_and_manageable_bytes, manage_snapshot, snapshot_is_managed),
    "snapshot.unmanage": VerbStory(a_snapshot, unmanage_snapshot, snapshot_is_let_go),
    "backup.create": VerbStory(in_use, back_up, is_backed_up),
    "backup.delete": VerbStory(a_backup, delete_backup, backup_is_gone),
    "backup.restore": VerbStory(a_backup, restore, is_restored),
    "volume.create_from_backup": VerbStory(a_backup, restore_anew, is_restored_anew),
    "backup.import": VerbStory(a_record, import_record, is_imported),
    "image_base.make": VerbStory(a_new_image, create_of_image, volume_and_base_are_made),
    "image_base.evict": VerbStory(a_base, evict, base_is_gone),
    "group.create": VerbStory(a_group_type, create_group, group_was_made),
    "group.delete": VerbStory(a_group, delete_group, group_is_gone),
    "group.create_from_source": VerbStory(a_group_snapshot, copy_group, group_was_copied),
    "group_snapshot.create": VerbStory(a_group_in_use, create_group_snapshot, group_snapshot_was_made),
    "group_snapshot.delete": VerbStory(a_group_snapshot, delete_group_snapshot, group_snapshot_is_gone),
    "attachment.connect": VerbStory(a_volume, connect, is_connected),
    "attachment.rotate": VerbStory(a_connection, rotate, has_another_password),
    "attachment.renew": VerbStory(a_connection, connect_again, is_still_connected),
    "attachment.disconnect": VerbStory(a_connection, disconnect, volume_is_free),
    "server.boot": VerbStory(a_bootable_volume, boot, runs),
    "server.delete": VerbStory(a_server, delete_server, server_is_gone),
    "server.attach_volume": VerbStory(a_guest_and_a_volume, attach, is_attached),
    "server.detach_volume": VerbStory(a_guest_with_a_volume, detach, volume_is_free),
    "server.repair_disks": VerbStory(a_guest_with_a_volume, pull_a_disk, has_its_disk_again),
    "server.start": VerbStory(one_that_is_off, acts({"os-start": None}), is_now("ACTIVE")),
    "server.stop": VerbStory(a_guest_of_its_own, acts({"os-stop": None}), is_now("SHUTOFF")),
    "server.reboot": VerbStory(a_guest_of_its_own, acts({"reboot": {"type": "SOFT"}}), is_now("ACTIVE")),
    "server.hard_reboot": VerbStory(a_guest_of_its_own, acts({"reboot": {"type": "HARD"}}), is_now("ACTIVE")),
    "server.console": VerbStory(a_guest, acts(CONSOLE), is_now("ACTIVE")),
    "webhook.deliver": VerbStory(a_webhook, ask_for_a_delivery, is_delivered),
}
