"""Every route is asked for real, and answers as Cinder at each version that changes an answer."""

from collections.abc import Iterator
from typing import Any

from answers import name_of
from api_coverage import ELSEWHERE
from volume_cloud import CONNECTOR, HOST, OTHER_PROJECT, POOL, PROJECT, Cloud

from databases import ON_SQLITE
from pumice.catalog import group_types
from pumice.loops.log_levels import LogLevels
from pumice.store import messages
from pumice.store.database import Transaction

pytestmark = ON_SQLITE


def said(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


class Story:
    """Asks as the administrator at one version; what must succeed and does not is told."""

    def __init__(self, cloud: Cloud, version: str) -> None:
        self.cloud, self.version = cloud, version
        self.minor = int(version.partition(".")[2])

    async def ask(self, method: str, path: str, body: Any = None, *, since: int = 0, who: str = "admin") -> Any:
        if self.minor < since:
            return None
        reply = await self.cloud.call(method, path, body, who=who, version=self.version)
        assert reply.status_code < 400, f"{method} {path} at {self.version}: {reply.status_code} {reply.text}"
        return reply.json() if reply.content else None

    async def act(self, thing: str, action: str, value: Any = None, *, since: int = 0) -> Any:
        return await self.ask("POST", f"{thing}/action", {action: {} if value is None else value}, since=since)

    async def volume(self, **wanted: Any) -> str:
        made = await self.ask("POST", "/volumes", {"volume": {"size": 1, **wanted}})
        volume_id = str(made["volume"]["id"])
        await self.cloud.until(volume_id, "available", who="admin")
        return volume_id

    async def snapshot(self, volume_id: str) -> str:
        made = await self.ask(
            "POST", "/snapshots", {"snapshot": {"volume_id": volume_id, "metadata": {"k": "v"}}}
        )
        await self.cloud.until(made["snapshot"]["id"], "available", who="admin", kind="snapshot")
        return str(made["snapshot"]["id"])

    async def backup(self, volume_id: str, **wanted: Any) -> str:
        made = await self.ask("POST", "/backups", {"backup": {"volume_id": volume_id, **wanted}})
        await self.cloud.until(made["backup"]["id"], "available", who="admin", kind="backup")
        return str(made["backup"]["id"])

    async def group(self, group_type: str) -> str:
        wanted = {"name": "g", "group_type": group_type, "volume_types": ["__DEFAULT__"]}
        made = await self.ask("POST", "/groups", {"group": wanted})
        await self.cloud.until(made["group"]["id"], "available", who="admin", kind="group")
        return str(made["group"]["id"])

    async def group_snapshot(self, group_id: str) -> str:
        await self.volume(group_id=group_id, volume_type="__DEFAULT__")
        wanted = {"group_snapshot": {"name": "s", "group_id": group_id}}
        made = (await self.ask("POST", "/group_snapshots", wanted))["group_snapshot"]["id"]
        await self.cloud.until(made, "available", who="admin", kind="group_snapshot")
        return str(made)

    # --- what is there to be read ---------------------------------------------------------------

    async def furnish(self) -> dict[str, str]:
        """One of everything; the values of the paths' names by what they follow."""
        volume_id = await self.volume(metadata={"k": "v"})
        snapshot_id = await self.snapshot(volume_id)
        backup_id = await self.backup(volume_id, metadata={"k": "v"})
        other = await self.volume()
        offered = {"transfer": {"volume_id": other, "name": "t"}}
        transfer = (await self.ask("POST", "/volume-transfers", offered))["transfer"]["id"]
        private = {"name": "private", "os-volume-type-access:is_public": False, "extra_specs": {"k": "v"}}
        kind = (await self.ask("POST", "/types", {"volume_type": private}))["volume_type"]["id"]
        await self.act(f"/types/{kind}", "addProjectAccess", {"project": OTHER_PROJECT})
        luks = {"provider": "luks", "control_location": "front-end"}
        await self.ask("POST", f"/types/{kind}/encryption", {"encryption": luks})
        qos = (await self.ask("POST", "/qos-specs", {"qos_specs": {"name": "q", "k": "v"}}))["qos_specs"]["id"]
        steady = {"group_type": {"name": "steady", "group_specs": {"k": "v"}}}
        group_type = (await self.ask("POST", "/group_types", steady))["group_type"]["id"]
        group_id = await self.group("steady")
        group_snapshot = await self.group_snapshot(group_id)
        await self.ask("PUT", f"/default-types/{PROJECT}", {"default_type": {"volume_type": "private"}})
        attachment = {"volume_uuid": volume_id, "connector": CONNECTOR}
        attachment_id = (await self.ask("POST", "/attachments", {"attachment": attachment}))["attachment"]["id"]

        def tell(tx: Transaction) -> None:
            messages.tell(tx, PROJECT, messages.Event.CREATE_VOLUME, volume_id, "No room.", "req-1")

        await self.cloud.db.write(tell)
        message, *_ = (await self.ask("GET", "/messages"))["messages"]
        return {
            "volumes": volume_id,
            "snapshots": snapshot_id,
            "backups": backup_id,
            "os-volume-transfer": transfer,
            "volume-transfers": transfer,
            "types": kind,
            "qos-specs": qos,
            "group_types": group_type,
            "groups": group_id,
            "group_snapshots": group_snapshot,
            "consistencygroups": group_id,
            "cgsnapshots": group_snapshot,
            "attachments": attachment_id,
            "default-types": PROJECT,
            "os-quota-sets": PROJECT,
            "os-quota-class-sets": "default",
            "os-hosts": HOST,
            "capabilities": HOST,
            "messages": message["id"],
            "extensions": "os-hosts",
            "metadata": "k",
            "extra_specs": "k",
            "group_specs": "k",
            "encryption": "cipher",
            "volumes encryption": "encryption_key_id",
            "clusters": "",
        }


def paths(cloud: Cloud, things: dict[str, str]) -> Iterator[tuple[tuple[int, int], str]]:
    """Every path that can be read, with its first version."""
    for route in cloud.service.table.routes:
        if route.method != "GET" or not route.path.startswith("/v3/") or name_of(route) in ELSEWHERE:
            continue
        parts = route.path.removeprefix("/v3").split("/")
        for place, part in enumerate(parts):
            if part.startswith("{"):
                key = f"{parts[1]} {parts[place - 1]}"
                parts[place] = things[key] if key in things else things[parts[place - 1]]
        path = "/".join(parts)
        if "manage" in path:
            path += f"?host={POOL}"
        elif path.endswith("associate"):
            path += f"?vol_type_id={things['types']}"
        yield route.since, path


async def test_what_is_read_has_cinders_shape_at_every_version(cloud: Cloud) -> None:
    things = await Story(cloud, "3.71").furnish()
    cloud.answers.seen.clear()
    for version in cloud.answers.versions(of_reads=True):
        story = Story(cloud, said(version))
        for since, path in paths(cloud, things):
            if version >= since:
                await story.ask("GET", path)
        await story.ask("GET", f"/os-quota-sets/{PROJECT}?usage=true")
        await story.ask("GET", "/scheduler-stats/get_pools?detail=true")
        for root in ("", "/"):
            await story.ask("GET", root)
    await cloud.client.get("/volume/")
    routes = {name_of(route) for route in cloud.service.table.routes if route.method == "GET"}
    assert routes - cloud.answers.seen == {name for name in ELSEWHERE if name.startswith("GET ")}


async def test_what_is_written_answers_in_cinders_shape_at_every_version(cloud: Cloud) -> None:
    for version in cloud.answers.versions(of_reads=False):
        await write_everything(Story(cloud, said(version)))
    routes = {name_of(route) for route in cloud.service.table.routes if route.method != "GET"}
    assert routes - cloud.answers.seen == {name for name in ELSEWHERE if not name.startswith("GET ")}


async def write_everything(story: Story) -> None:
    volume_id = await story.volume()
    volume = f"/volumes/{volume_id}"
    await story.ask("PUT", volume, {"volume": {"name": "n"}})
    snapshot = f"/snapshots/{await story.snapshot(volume_id)}"
    await story.ask("PUT", snapshot, {"snapshot": {"name": "n"}})
    for thing in (volume, snapshot):
        await story.ask("POST", f"{thing}/metadata", {"metadata": {"a": "b"}})
        await story.ask("PUT", f"{thing}/metadata", {"metadata": {"a": "b"}})
        await story.ask("PUT", f"{thing}/metadata/a", {"meta": {"a": "c"}})
        await story.ask("DELETE", f"{thing}/metadata/a")
    await story.act(volume, "os-set_image_metadata", {"metadata": {"a": "b"}})
    await story.act(volume, "os-show_image_metadata")
    await story.act(volume, "os-unset_image_metadata", {"key": "a"})
    await story.act(volume, "os-set_bootable", {"bootable": True})
    await story.act(volume, "os-update_readonly_flag", {"readonly": False})
    await story.act(volume, "revert", {"snapshot_id": snapshot.rpartition("/")[2]}, since=40)
    await story.cloud.quiet()
    await story.act(snapshot, "os-reset_status", {"status": "creating"})
    await story.act(snapshot, "os-update_snapshot_status", {"status": "creating"})
    await story.act(snapshot, "os-reset_status", {"status": "error"})
    await story.ask("DELETE", snapshot)
    await story.act(f"/snapshots/{await story.snapshot(volume_id)}", "os-force_delete")
    await story.act(f"/snapshots/{await story.snapshot(volume_id)}", "os-unmanage")
    await story.cloud.quiet()
    another = await story.ask("POST", "/types", {"volume_type": {"name": f"another {story.version}"}})
    await story.act(volume, "os-retype", {"new_type": another["volume_type"]["id"]})
    await story.act(volume, "os-extend", {"new_size": 2})
    await story.cloud.quiet()
    await back_up(story, volume_id)
    await attach(story, volume_id)
    await story.act(volume, "os-reset_status", {"status": "available", "attach_status": "detached"})
    for path in ("/os-volume-transfer", "/volume-transfers"):
        wanted = {"transfer": {"volume_id": volume_id}}
        made = (await story.ask("POST", path, wanted))["transfer"]
        await story.ask("DELETE", f"{path}/{made['id']}")
        made = (await story.ask("POST", path, wanted))["transfer"]
        await story.ask("POST", f"{path}/{made['id']}/accept", {"accept": {"auth_key": made["auth_key"]}})
    await story.act(volume, "os-force_delete")
    await story.ask("DELETE", f"/volumes/{await story.volume()}")
    await types(story)
    await administer(story)
    await story.cloud.quiet()


async def back_up(story: Story, volume_id: str) -> None:
    backup_id = await story.backup(volume_id)
    backup = f"/backups/{backup_id}"
    await story.ask("PUT", backup, {"backup": {"name": "n"}}, since=9)
    await story.ask("POST", f"{backup}/restore", {"restore": {"volume_id": volume_id}})
    await story.cloud.quiet()
    made = await story.ask("POST", f"{backup}/restore", {"restore": {}})
    await story.cloud.quiet()
    await story.ask("DELETE", f"/volumes/{made['restore']['volume_id']}")
    record = await story.ask("GET", f"{backup}/export_record")
    await story.ask("DELETE", backup)
    await story.cloud.quiet()
    await story.ask("POST", "/backups/import_record", record)
    await story.cloud.quiet()
    await story.act(backup, "os-reset_status", {"status": "available"})
    await story.act(backup, "os-force_delete")
    await story.cloud.quiet()


async def attach(story: Story, volume_id: str) -> None:
    volume = f"/volumes/{volume_id}"
    connector = {"connector": CONNECTOR}
    await story.act(volume, "os-reserve")
    await story.act(volume, "os-unreserve")
    await story.act(volume, "os-reserve")
    await story.act(volume, "os-initialize_connection", connector)
    await story.act(
        volume, "os-attach", {"host_name": CONNECTOR["host"], "mountpoint": "/dev/vdb", "mode": "rw"}
    )
    await story.act(volume, "os-begin_detaching")
    await story.act(volume, "os-roll_detaching")
    await story.act(volume, "os-begin_detaching")
    await story.act(volume, "os-terminate_connection", connector)
    await story.act(volume, "os-detach")
    await story.cloud.until(volume_id, "available", who="admin")
    await story.act(
        volume, "os-attach", {"host_name": CONNECTOR["host"], "mountpoint": "/dev/vdb", "mode": "rw"}
    )
    (attachment, *_) = await story.cloud.attachments_of(volume_id)
    await story.act(volume, "os-force_detach", {"attachment_id": attachment["id"]})
    await story.cloud.quiet()
    if story.minor >= 27:
        asked = {"attachment": {"volume_uuid": volume_id}}
        made = (await story.ask("POST", "/attachments", asked))["attachment"]["id"]
        await story.ask("PUT", f"/attachments/{made}", {"attachment": connector})
        await story.act(f"/attachments/{made}", "os-complete", since=44)
        await story.ask("DELETE", f"/attachments/{made}")


async def types(story: Story) -> None:
    asked = {"volume_type": {"name": story.version, "os-volume-type-access:is_public": False}}
    kind = f"/types/{(await story.ask('POST', '/types', asked))['volume_type']['id']}"
    await story.ask("PUT", kind, {"volume_type": {"description": "d"}})
    for action in ("addProjectAccess", "removeProjectAccess"):
        await story.act(kind, action, {"project": OTHER_PROJECT})
    await story.ask("POST", f"{kind}/extra_specs", {"extra_specs": {"a": "b"}})
    await story.ask("PUT", f"{kind}/extra_specs/a", {"a": "c"})
    await story.ask("DELETE", f"{kind}/extra_specs/a")
    luks = {"provider": "luks", "control_location": "front-end"}
    await story.ask("POST", f"{kind}/encryption", {"encryption": luks})
    encryption = f"{kind}/encryption/provider"
    await story.ask("PUT", encryption, {"encryption": {"key_size": 256}})
    await story.ask("DELETE", encryption)
    made = await story.ask("POST", "/qos-specs", {"qos_specs": {"name": story.version, "a": "b"}})
    qos = f"/qos-specs/{made['qos_specs']['id']}"
    await story.ask("PUT", qos, {"qos_specs": {"c": "d"}})
    await story.ask("PUT", f"{qos}/delete_keys", {"keys": ["a"]})
    await story.ask("DELETE", qos)
    if story.minor >= 11:
        made = await story.ask("POST", "/group_types", {"group_type": {"name": story.version}})
        steady = f"/group_types/{made['group_type']['id']}"
        await story.ask("PUT", steady, {"group_type": {"description": "d"}})
        await story.ask("POST", f"{steady}/group_specs", {"group_specs": {"a": "b"}})
        await story.ask("PUT", f"{steady}/group_specs/a", {"a": "c"})
        await story.ask("DELETE", f"{steady}/group_specs/a")
        if story.minor >= 13:
            await group(story, story.version)
        await story.ask("DELETE", steady)
    await consistency_group(story)
    default = f"/default-types/{OTHER_PROJECT}"
    await story.ask("PUT", default, {"default_type": {"volume_type": "__DEFAULT__"}}, since=62)
    await story.ask("DELETE", default, since=62)
    await story.ask("DELETE", kind)


async def group(story: Story, group_type: str) -> None:
    group_id = await story.group(group_type)
    group = f"/groups/{group_id}"
    if story.minor >= 14:
        await group_snapshot(story, group_id)
    await story.ask("PUT", group, {"group": {"name": "n"}})
    await story.act(group, "reset_status", {"status": "error"}, since=20)
    await story.act(group, "delete", {"delete-volumes": True})
    await story.cloud.quiet()


async def consistency_group(story: Story) -> None:
    await story.cloud.db.write(group_types.make_default)
    wanted = {"name": "c", "volume_types": "__DEFAULT__"}
    made = await story.ask("POST", "/consistencygroups", {"consistencygroup": wanted})
    older = f"/consistencygroups/{(group_id := made['consistencygroup']['id'])}"
    await story.cloud.quiet()
    await story.volume(consistencygroup_id=group_id, volume_type="__DEFAULT__")
    for path in (older, f"{older}/update"):
        await story.ask("PUT", path, {"consistencygroup": {"name": path}})
    asked = {"cgsnapshot": {"name": "s", "consistencygroup_id": group_id}}
    made = (await story.ask("POST", "/cgsnapshots", asked))["cgsnapshot"]["id"]
    await story.cloud.quiet()
    asked = {"consistencygroup-from-src": {"name": "copy", "cgsnapshot_id": made}}
    copied = (await story.ask("POST", "/consistencygroups/create_from_src", asked))["consistencygroup"]["id"]
    await story.cloud.quiet()
    await story.ask("DELETE", f"/cgsnapshots/{made}")
    await story.cloud.quiet()
    for path in (older, f"/consistencygroups/{copied}"):
        await story.ask("POST", f"{path}/delete", {"consistencygroup": {"force": True}})
    made = await story.ask("POST", "/consistencygroups", {"consistencygroup": wanted})
    await story.cloud.quiet()
    await story.ask("DELETE", f"/consistencygroups/{made['consistencygroup']['id']}")
    await story.cloud.quiet()


async def group_snapshot(story: Story, group_id: str) -> None:
    made = await story.group_snapshot(group_id)
    asked = {"create-from-src": {"name": "copy", "group_snapshot_id": made}}
    copy = (await story.ask("POST", "/groups/action", asked))["group"]["id"]
    await story.cloud.quiet()
    await story.act(f"/groups/{copy}", "delete", {"delete-volumes": True})
    await story.act(f"/group_snapshots/{made}", "reset_status", {"status": "error"}, since=19)
    await story.ask("DELETE", f"/group_snapshots/{made}")
    await story.cloud.quiet()


async def administer(story: Story) -> None:
    quota = f"/os-quota-sets/{OTHER_PROJECT}"
    await story.ask("PUT", quota, {"quota_set": {"volumes": 5}})
    await story.ask("DELETE", quota)
    await story.ask("PUT", "/os-quota-class-sets/default", {"quota_class_set": {"groups": 5}})
    which = {"host": "box", "binary": "cinder-scheduler"}
    await story.ask("PUT", "/os-services/disable", which)
    await story.ask("PUT", "/os-services/disable-log-reason", {**which, "disabled_reason": "r"})
    await story.ask("PUT", "/os-services/enable", which)
    await story.ask("PUT", "/os-services/freeze", {"host": HOST})
    await story.ask("PUT", "/os-services/thaw", {"host": HOST})
    await story.ask("PUT", f"/os-hosts/{HOST}", {"status": "enable"})
    await story.ask("PUT", "/os-services/set-log", {"level": "info", "prefix": "nobody's"}, since=32)
    await LogLevels(
        story.cloud.db, [("cinder-scheduler", "box"), ("cinder-volume", HOST), ("cinder-backup", "box")]
    ).look()
    await story.ask("PUT", "/os-services/get-log", {"prefix": "pumice."}, since=32)
    await story.ask("POST", "/workers/cleanup", {}, since=24)

    def tell(tx: Transaction) -> None:
        messages.tell(tx, PROJECT, messages.Event.CREATE_VOLUME, "x", "No room.", "req-1")

    await story.cloud.db.write(tell)
    if story.minor >= 3:
        (message, *_) = (await story.ask("GET", "/messages"))["messages"]
        await story.ask("DELETE", f"/messages/{message['id']}")
