"""Clients that keep volumes elsewhere and bring them back: backups, reverts, images, other pools."""

from typing import Any

from tests.chaos.caller import BACKUPS, MARK_AT, VOLUMES
from tests.chaos.clients import NOTHING, Client
from tests.chaos.model import GONE, Effect, Facts, Request, Thing, exactly, unchanged
from tests.chaos.world import POOLS

TYPES = {f"on-{backend}": backend for backend in POOLS}
"""Volume types, and the backend that each asks for."""


class CopyingClient(Client):
    """A client whose volumes have backups."""

    # --- backups --------------------------------------------------------------------------------

    async def back_up(self, slot: str, of: str) -> None:
        """A full backup, of a volume in use as well."""
        await self._back_up(slot, of, None)

    async def back_up_changes(self, slot: str, of: str) -> None:
        """What is new since the volume's last backup."""
        volume = self._at(of, "available", "in-use")
        found = [it for it in self._backups() if volume and it.of == volume.id and it.known != GONE]
        if found and all(it.is_now("available", "error") for it in found):
            whole = [it for it in found if it.is_now("available")]
            if whole:
                await self._back_up(slot, of, whole[-1])

    async def _back_up(self, slot: str, of: str, base: Thing | None) -> None:
        await self.delete_backup(slot, "")  # one that the plan does not know of
        volume = self._at(of, "available", "in-use")
        if volume is None or self._at(slot, "available", "error", "error_deleting"):
            return
        if base is not None and not base.is_now("available"):
            return
        assert volume.known is not None
        size = volume.known.size
        backup = self.slots[slot] = self._new("backup")
        backup.of, backup.base = volume.id, base
        failed = frozenset({Facts("error", size)})
        effect = Effect(backup, Facts("available", size), failed, dict(volume.contents))
        wanted = {"volume_id": volume.id, "name": backup.name, "force": True, "incremental": base is not None}
        request, body = await self.ask(
            f"back up {volume.name} as {backup.name}{f' on {base.name}' if base else ''}",
            "backup.create",
            (effect, unchanged(volume), *([unchanged(base)] if base else [])),
            "POST",
            BACKUPS,
            json={"backup": wanted},
        )
        if body is not None:
            backup.id = body["backup"]["id"]
            await self.end(request)

    def _backups(self) -> list[Thing]:
        """Every backup that it ever made, the oldest first."""
        mine = f"{self.name}-"
        return [it for it in self.model.things if it.kind == "backup" and it.name.startswith(mine)]

    def _is_needed(self, backup: Thing) -> bool:
        """Whether an incremental one may add to it."""
        return any(it.base is backup and it.may != {GONE} for it in self._backups())

    async def delete_backup(self, slot: str, _: str) -> None:
        """The backup is not needed any more."""
        backup = self._at(slot, "available", "error", "error_deleting")
        if backup and not self._is_needed(backup):
            assert backup.known is not None
            effect = Effect(backup, GONE, frozenset({backup.known._replace(status="error_deleting")}))
            path = f"{BACKUPS}/{backup.id}"
            await self._do(f"delete {backup.name}", "backup.delete", (effect,), "DELETE", path)

    async def delete_base(self, slot: str, _: str) -> None:
        """It must be refused while an incremental one adds to it."""
        backup = self._at(slot, "available")
        if backup and any(it.base is backup and it.is_now("available") for it in self._backups()):
            await self._must_be_refused(backup)

    async def create_from_backup(self, slot: str, backup: str) -> None:
        """A volume as another was when it was backed up."""
        if source := self._at(backup, "available"):
            assert source.known is not None
            size, wanted = source.known.size, {"backup_id": source.id}
            kind = "volume.create_from_backup"
            await self._create(slot, wanted, size, source.contents, source, kind=kind)

    async def restore(self, slot: str, backup: str) -> None:
        """A volume's bytes are those of a backup."""
        volume, source = self._at(slot, "available"), self._at(backup, "available")
        if volume and source:
            assert volume.known is not None
            torn = frozenset({volume.known._replace(status="error_restoring")})
            effects = (Effect(volume, volume.known, torn, source.contents, torn=True), unchanged(source))
            body = {"restore": {"volume_id": volume.id}}
            what = f"restore {source.name} to {volume.name}"
            await self._do(what, "backup.restore", effects, "POST", f"{BACKUPS}/{source.id}/restore", json=body)

    # --- other bytes in the same place ----------------------------------------------------------

    async def revert(self, slot: str, to: str) -> None:
        """A volume's bytes are those of its last snapshot."""
        volume, snapshot = self._at(slot, "available"), self._at(to, "available")
        if volume and snapshot and snapshot.of == volume.id:
            assert volume.known is not None
            back = Effect(volume, volume.known, bytes=snapshot.contents, torn=True)
            action = {"revert": {"snapshot_id": snapshot.id}}
            effects = (back, unchanged(snapshot))
            await self._act(volume, f"revert to {snapshot.name}", "volume.revert", effects, action)

    async def reimage(self, slot: str, image: str) -> None:
        """A volume's bytes are an image's; if that fails they are what they were."""
        volume, source = self._at(slot, "available"), self._at(image, "active")
        if volume and source:
            assert volume.known is not None
            failed = frozenset({volume.known._replace(status="error")})
            contents = source.contents | exactly({MARK_AT: NOTHING})
            effects = (Effect(volume, volume.known, failed, contents), unchanged(source))
            action = {"os-reimage": {"image_id": source.id, "reimage_reserved": False}}
            await self._act(volume, f"reimage with {source.name}", "volume.reimage", effects, action)

    # --- the same bytes in another place --------------------------------------------------------

    async def move(self, slot: str, _: str) -> None:
        """To the other backend of its host."""
        if (volume := self._at(slot, "available")) and (shown := await self._shown(volume)):
            here = shown["os-vol-host-attr:host"]
            host, _, pool = here.partition("@")
            other = next(it for it in POOLS if not pool.startswith(f"{it}#"))
            there = f"{host}@{other}#{POOLS[other]}"
            action = {"os-migrate_volume": {"host": there}}
            what = f"move to {there}"
            request = await self._act(volume, what, "volume.migrate", (unchanged(volume),), action)
            await self._must_be(volume, request, "os-vol-host-attr:host", here, there)

    async def retype(self, slot: str, kind: str) -> None:
        """To a type that may want another backend."""
        if (volume := self._at(slot, "available")) and (before := await self._shown(volume)):
            action = {"os-retype": {"new_type": kind, "migration_policy": "on-demand"}}
            what = f"retype to {kind}"
            request = await self._act(volume, what, "volume.migrate", (unchanged(volume),), action)
            await self._must_be(volume, request, "volume_type", before["volume_type"], kind)
            if request.outcome == "done" and (after := await self._shown(volume)):
                place = after["os-vol-host-attr:host"]
                if f"@{TYPES[kind]}#" not in place:
                    self.model.violation(f"{request}: it is at {place}", volume)

    async def _shown(self, volume: Thing) -> dict[str, Any] | None:
        shown = await self.get(f"{VOLUMES}/{volume.id}")
        return shown["volume"] if shown else None

    async def _must_be(self, volume: Thing, request: Request, word: str, before: str, after: str) -> None:
        """What a request was to change is changed if it was done, and is as before if it was not."""
        expected = {"done": {after}, "explained": {before}, "refused": {before}}
        shown = await self._shown(volume)
        if shown and shown[word] not in expected.get(request.outcome, {before, after}):
            self.model.violation(f"{request}: its {word} is {shown[word]}, and was {before}", volume)
