"""What each client asks for, in which order: a pure function of the seed.

A client has slots: volumes, snapshots, backups, an image; one that runs guests has a server too, and any other
a group and a snapshot of that. Its plan is drawn as if everything went well, so it does not depend on what does
happen. Where a step makes no sense because an earlier one failed, it is passed over when its turn comes; slots
are emptied and filled again all the time.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

CANCELLED = 0.03
"""The share of the steps that an operator cancels."""


class Step(NamedTuple):
    """One thing to do: the verb (a method of ``clients.Client``), the slot, and another that it is about."""

    verb: str
    slot: str
    other: str = ""
    cancel: bool = False
    """Whether an operator asks it to turn back, as soon as it is accepted."""


def steps(seed: int, client: int, *, guests: bool) -> Iterator[Step]:
    """The endless plan of a client."""
    dice = random.Random(f"{seed}/client/{client}")
    table = _Table(guests)
    while True:
        choices = list(table.choices())
        step = dice.choices([step for _, step in choices], [weight for weight, _ in choices])[0]
        table.follow(step)
        yield step._replace(cancel=dice.random() < CANCELLED)


class _Table:
    """The client's slots, as they are when everything goes well."""

    def __init__(self, guests: bool) -> None:
        self.guests = guests
        self.volumes: dict[str, str] = dict.fromkeys(("v1", "v2") if guests else ("v1", "v2", "v3"), "")
        """What each is: nothing, ``free``, ``outside`` (attached elsewhere) or ``guest``."""
        self.snapshots: dict[str, str] = dict.fromkeys(("s1", "s2"), "")
        """The volume each is of."""
        self.backups: dict[str, str] = dict.fromkeys(("b1", "b2"), "")
        """The volume each is of, as it is by now."""
        self.added = False
        """Whether the second backup adds to the first."""
        self.group = False
        self.grouped: set[str] = set()
        """The volumes that are in the group."""
        self.kept: set[str] = set()
        """The volumes that the group snapshot is of."""
        self.image = False
        self.server = ""
        """Nothing, ``on`` or ``off``. Its root volume is no slot: it comes and goes with it."""

    def choices(self) -> Iterator[tuple[int, Step]]:
        """What could be done next, with its weight."""
        for volume, state in self.volumes.items():
            yield from getattr(self, f"_of_{state or 'no'}_volume")(volume)
        for snapshot, volume in self.snapshots.items():
            if volume:
                yield 2, Step("delete_snapshot", snapshot)
            for source, state in self.volumes.items():
                if state and not volume:
                    yield (3 if state == "free" else 1), Step("snapshot", snapshot, source)
        yield from self._of_backups()
        if not self.guests:
            yield 2, Step("delete_image", "i") if self.image else Step("upload", "i")
            yield from self._of_group()
            return
        if not self.server:
            yield 12, Step("boot", "m")
            yield 6, Step("boot_from_image", "m")
            return
        yield 1, Step("delete_server", "m")
        yield 2, Step("stop", "m") if self.server == "on" else Step("start", "m")
        for volume, state in self.volumes.items():
            if state == "free":
                yield 8, Step("attach", volume, "m")
                yield 2, Step("attach_or_connect", volume, "m")
            elif state == "guest":
                yield 5, Step("detach", volume, "m")

    def _of_backups(self) -> Iterator[tuple[int, Step]]:
        for backup, of in self.backups.items():
            is_base = backup == "b1" and self.added
            if of:
                yield (1, Step("delete_base", backup)) if is_base else (2, Step("delete_backup", backup))
                continue
            for volume, state in self.volumes.items():
                if state:
                    yield 1, Step("back_up", backup, volume)
                if state and backup == "b2" and self.backups["b1"] == volume:
                    yield 3, Step("back_up_changes", backup, volume)

    def _of_group(self) -> Iterator[tuple[int, Step]]:
        if not self.group:
            yield 3, Step("group", "g", "loose")
            yield 3, Step("group", "g", "of-one-moment")
            return
        if self.kept:
            yield 5, Step("copy_group", "gs")
            yield 3, Step("delete_group_snapshot", "gs")
        elif all(self.volumes[it] == "free" for it in self.grouped):
            yield (2 if self.grouped else 1), Step("delete_group", "g")
            if self.grouped:
                yield 8, Step("snapshot_group", "gs", "g")

    def _of_no_volume(self, volume: str) -> Iterator[tuple[int, Step]]:
        yield 4, Step("create", volume)
        if self.group:
            yield 8, Step("create_in_group", volume, "g")
        for backup, of in self.backups.items():
            if of:
                yield 2, Step("create_from_backup", volume, backup)
        if self.image:
            yield 4, Step("create_from_image", volume, "i")
        for source, state in self.volumes.items():
            if state:
                yield 2, Step("create_from_volume", volume, source)
        for source, of in self.snapshots.items():
            if of:
                yield 3, Step("create_from_snapshot", volume, source)

    def _of_free_volume(self, volume: str) -> Iterator[tuple[int, Step]]:
        yield 4, Step("write", volume)
        yield 2, Step("extend", volume)
        yield 3, Step("connect", volume)
        yield from ((1, Step("restore", volume, backup)) for backup, of in self.backups.items() if of)
        yield from ((3, Step("revert", volume, it)) for it, of in self.snapshots.items() if of == volume)
        if self.image:
            yield 2, Step("reimage", volume, "i")
        if volume in self.grouped:
            yield 1, Step("delete_in_group", volume)
            yield 1, Step("leave_group", volume)
        elif volume not in self.snapshots.values():
            if self.group:
                yield 1, Step("join_group", volume, "g")
            yield 2, Step("move", volume)
            yield from ((1, Step("retype", volume, kind)) for kind in ("on-files", "on-spare"))
            yield 3, Step("delete", volume)
            yield 1, Step("delete_or_connect", volume)
            yield from (
                (1, Step("delete_or_snapshot", volume, it)) for it, of in self.snapshots.items() if not of
            )
        else:
            yield 1, Step("delete_with_snapshot", volume)

    def _of_outside_volume(self, volume: str) -> Iterator[tuple[int, Step]]:
        yield 4, Step("disconnect", volume)
        yield 1, Step("delete_in_use", volume)

    def _of_guest_volume(self, volume: str) -> Iterator[tuple[int, Step]]:
        yield 1, Step("delete_in_use", volume)

    def follow(self, step: Step) -> None:
        """The slots once the step is done."""
        verb, slot, other, _ = step
        if verb.startswith("create"):
            self.volumes[slot] = "free"
            self.grouped |= {slot} if verb == "create_in_group" else set()
        elif verb in ("back_up", "back_up_changes", "delete_backup"):
            self.backups[slot] = other
            self.added = verb == "back_up_changes" or (self.added and slot == "b1")
        elif "group" in verb:
            self._follow_group(verb, slot)
        elif verb in _AFTER:
            self.volumes[slot] = _AFTER[verb]
        elif verb in ("snapshot", "delete_snapshot"):
            self.snapshots[slot] = other
        elif verb in ("upload", "delete_image"):
            self.image = verb == "upload"
        elif verb in ("boot", "boot_from_image", "start", "stop", "delete_server"):
            self.server = {"stop": "off", "delete_server": ""}.get(verb, "on")
            if verb == "delete_server":
                self.volumes = {it: "free" if was == "guest" else was for it, was in self.volumes.items()}

    def _follow_group(self, verb: str, slot: str) -> None:
        match verb:
            case "group" | "delete_group":
                self.group = verb == "group"
                self.volumes |= dict.fromkeys(self.grouped, "")
                self.grouped = set()
            case "join_group":
                self.grouped.add(slot)
            case "leave_group":
                self.grouped.discard(slot)
            case "snapshot_group":
                self.kept = set(self.grouped)
            case "delete_group_snapshot":
                self.kept = set()


_AFTER = {
    "delete": "",
    "connect": "outside",
    "disconnect": "free",
    "attach": "guest",
    "detach": "free",
    "attach_or_connect": "guest",
    "delete_or_connect": "",
    "delete_or_snapshot": "",
}
"""What a volume is after these. Of two that race, either may win: the plan has the first."""
