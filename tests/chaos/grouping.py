"""Clients whose volumes are in groups, which are kept, copied and deleted as one."""

from typing import Any

from tests.chaos.caller import GROUP_SNAPSHOTS, GROUPS, SNAPSHOTS, VOLUMES
from tests.chaos.clients import EMPTY
from tests.chaos.copies import CopyingClient
from tests.chaos.model import GONE, Effect, Facts, Thing, unchanged

GROUP_TYPES = {"loose": {}, "of-one-moment": {"consistent_group_snapshot_enabled": "<is> True"}}
"""The types of groups, with their specs."""


class GroupingClient(CopyingClient):
    """A client with a group of volumes."""

    async def group(self, slot: str, kind: str) -> None:
        """An empty group."""
        await self.delete_group_snapshot("gs", "")  # what the plan does not know of
        await self.delete_group(slot, "")
        if self._at(slot, "available", "error"):
            return
        group = self.slots[slot] = self._new("group")
        wanted = {"name": group.name, "group_type": kind, "volume_types": ["__DEFAULT__"]}
        effect = Effect(group, Facts("available"), frozenset({Facts("error")}))
        what = f"make group {group.name}, {kind}"
        request, body = await self.ask(what, "group.create", (effect,), "POST", GROUPS, json={"group": wanted})
        if body is not None:
            group.id = body["group"]["id"]
            await self.end(request)

    async def create_in_group(self, slot: str, group_slot: str) -> None:
        """A volume in the group."""
        if group := self._at(group_slot, "available"):
            wanted = {"size": 1, "group_id": group.id, "volume_type": "__DEFAULT__"}
            before = self.slots.get(slot)
            await self._create(slot, wanted, 1, EMPTY, group)
            if (volume := self.slots.get(slot)) and volume is not before:
                volume.group = group

    async def leave_group(self, slot: str, _: str) -> None:
        """The volume stays, and is in no group."""
        volume = self._at(slot, "available")
        group = volume.group if volume else None
        if not (volume and group and group.is_now("available")):
            return
        if await self._update(group, volume, "remove_volumes"):
            volume.group = None

    async def join_group(self, slot: str, group_slot: str) -> None:
        """A volume that was in none."""
        volume, group = self._at(slot, "available"), self._at(group_slot, "available")
        if volume and group and volume.group is None and await self._update(group, volume, "add_volumes"):
            volume.group = group

    async def _update(self, group: Thing, volume: Thing, how: str) -> bool:
        effects = (unchanged(volume), unchanged(group))
        body = {"group": {how: volume.id}}
        path = f"{GROUPS}/{group.id}"
        request = await self._do(f"{how} {volume.name} {group.name}", "", effects, "PUT", path, json=body)
        return request.outcome == "done"

    def _parts(self, whole: Thing) -> list[Thing]:
        """The volumes in a group, or the snapshots of a group snapshot."""
        return [it for it in self.model.things if it.group is whole and it.may != {GONE}]

    async def delete_in_group(self, slot: str, _: str) -> None:
        """Of a volume that is in a group it must be refused."""
        volume = self._at(slot, "available")
        if volume and volume.group and volume.group.is_now("available"):
            await self._must_be_refused(volume)

    async def delete_group(self, slot: str, _: str) -> None:
        """With its volumes."""
        if group := self._at(slot, "available", "error"):
            await self._delete_whole(group)

    async def _delete_whole(self, group: Thing) -> None:
        effects = [Effect(group, GONE, frozenset({Facts("error")}))]
        for volume in self._parts(group):
            failed = frozenset(it._replace(status="error_deleting") for it in volume.may if it != GONE)
            effects.append(Effect(volume, GONE, failed | {GONE}))
        action = {"delete": {"delete-volumes": True}}
        await self._act(group, "delete", "group.delete", tuple(effects), action)

    async def snapshot_group(self, slot: str, group_slot: str) -> None:
        """A snapshot of each volume that is in the group."""
        await self.delete_group_snapshot(slot, "")
        group = self._at(group_slot, "available")
        if group is None or self._at(slot, "available", "error"):
            return
        volumes = self._parts(group)
        if not all(it.known for it in volumes):
            return
        whole = self.slots[slot] = self._new("group_snapshot")
        effect = Effect(whole, Facts("available"), frozenset({Facts("error")}))
        known = [(it, dict(it.contents)) for it in volumes]
        request, body = await self.ask(
            f"snapshot {whole.name} of {group.name} with {len(volumes)}",
            "group_snapshot.create",
            (effect, unchanged(group), *map(unchanged, volumes)),
            "POST",
            GROUP_SNAPSHOTS,
            json={"group_snapshot": {"name": whole.name, "group_id": group.id}},
        )
        if body is None:
            return
        whole.id = body["group_snapshot"]["id"]
        await self.end(request)
        if request.outcome == "done":
            found = (await self.get(f"{SNAPSHOTS}/detail?limit=1000"))["snapshots"]
            made = {it["volume_id"]: it for it in found if it["group_snapshot_id"] == whole.id}
            await self._must_be_whole(whole, "snapshot", known, made)

    async def _must_be_whole(
        self, whole: Thing, kind: str, known: list[tuple[Thing, Any]], made: dict[str, Any]
    ) -> None:
        """One of each volume, with the bytes that it had."""
        if made.keys() != {it.id for it, _ in known}:
            self.model.violation(
                f"{whole} is of {made.keys()}, and must be of {[it.id for it, _ in known]}", whole
            )
        for source, contents in known:
            if shown := made.get(source.id):
                part = self.model.thing(kind, f"{whole.name} of {source.name}")
                part.id, part.contents, part.group = shown["id"], contents, whole
                part.of = source.id if kind == "snapshot" else ""
                part.may = frozenset({Facts("available", shown["size"])})
                await self.look(part)

    async def delete_group_snapshot(self, slot: str, _: str) -> None:
        """With all that it is made of."""
        if whole := self._at(slot, "available", "error"):
            parts = self._parts(whole)
            effects = [Effect(whole, GONE, frozenset({Facts("error")}))]
            for part in parts:
                failed = frozenset(it._replace(status="error_deleting") for it in part.may if it != GONE)
                effects.append(Effect(part, GONE, failed | {GONE}))
            path = f"{GROUP_SNAPSHOTS}/{whole.id}"
            what = f"delete {whole.name}"
            await self._do(what, "group_snapshot.delete", tuple(effects), "DELETE", path)

    async def copy_group(self, slot: str, _: str) -> None:
        """A group as the group snapshot has it, which is looked at, and deleted."""
        whole = self._at(slot, "available")
        parts = self._parts(whole) if whole else []
        if not whole or not parts or not all(it.known for it in parts):
            return
        copy = self._new("group")
        effect = Effect(copy, Facts("available"), frozenset({Facts("error")}))
        request, body = await self.ask(
            f"copy {whole.name} to {copy.name}",
            "group.create_from_source",
            (effect, unchanged(whole), *map(unchanged, parts)),
            "POST",
            f"{GROUPS}/action",
            json={"create-from-src": {"name": copy.name, "group_snapshot_id": whole.id}},
        )
        if body is None:
            return
        copy.id = body["group"]["id"]
        await self.end(request)
        if request.outcome == "done":
            found = (await self.get(f"{VOLUMES}/detail?limit=1000"))["volumes"]
            made = {it["snapshot_id"]: it for it in found if it["group_id"] == copy.id}
            await self._must_be_whole(copy, "volume", [(it, dict(it.contents)) for it in parts], made)
        if copy.is_now("available", "error"):
            await self._delete_whole(copy)
