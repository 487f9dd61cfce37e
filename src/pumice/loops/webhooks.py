"""Enqueue deliveries to webhooks of what is in the operation log, as it grows.

Most webhooks stand at one place of the log, the *front*: what is new is read once for all of them. One that has
as many deliveries under way as it may have, or was away, is *behind*: it is read for by itself, a page at a
turn, until it is at the front again. How far each was told is written with what is enqueued for it, in one
transaction, so another scheduler that does the same enqueues nothing twice.

Without webhooks nothing is read. On PostgreSQL a number may be seen before a smaller one: so nothing is read
past what was there when every transaction began that is still under way.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pumice.loops.every import tell_failure
from pumice.model.webhook import Format, Webhook
from pumice.store import logged, webhooks
from pumice.store import operations as log
from pumice.store.changes import CHANGED
from pumice.store.database import MISSED, Database
from pumice.webhooks.cinder import KINDS
from pumice.webhooks.deliver import KIND, enqueue_events

PAGE = 500
GATHER_SECONDS = 0.1
"""How long is waited for more, before what is there is read at once."""
BEHIND_AT_ONCE = 8
"""How many that are behind are read for at one turn."""
FULL_SECONDS = 5.0
"""How long is waited at most for deliveries to end of one that has as many as it may have."""
PASS_SECONDS = 60.0
"""How often it is written down that there was nothing for those at the front."""
FAILED_SECONDS = 5.0

Event = Mapping[str, Any]


@dataclass(slots=True)
class FanOut:
    """Hands the log to the webhooks."""

    db: Database
    hooks: dict[str, Webhook] = field(default_factory=dict)
    front: int = 0
    behind: dict[str, int] = field(default_factory=dict)
    """How far those were told that are not at the front."""
    full: dict[str, float] = field(default_factory=dict)
    """Until when those that are full are left alone, on the monotonic clock."""
    _deliveries: dict[str, str] = field(default_factory=dict)
    """Whose the deliveries are that may be under way."""
    _settled: logged.Settled = field(default_factory=logged.Settled)
    _passed: tuple[float, int] = (0.0, 0)
    _stale: bool = True
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Do so for as long as this process lives."""
        stop = self.db.subscribe(self._hear)
        try:
            while True:
                self._told.clear()
                try:
                    more = await self.turn()
                except Exception as error:
                    tell_failure("loop.failed", error, loop="webhooks")
                    self._stale, more = True, False
                    await asyncio.sleep(FAILED_SECONDS)
                if not more:
                    await self._sleep()
        finally:
            stop()

    def _hear(self, topic: str) -> None:
        if topic in (webhooks.CHANGED, MISSED):
            self._stale = True
            self._told.set()
        elif self.hooks and topic.startswith(CHANGED):
            self._told.set()
        elif self._deliveries and (ending := log.ending(topic)):
            self.full.pop(self._deliveries.pop(ending[0], ""), None)

    async def _sleep(self) -> None:
        waits_for_gap = self.hooks and not self._settled.is_all
        seconds = GATHER_SECONDS if waits_for_gap else FULL_SECONDS if self.behind else self.db.poll_seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds if self.hooks else None):
                await self._told.wait()
        await asyncio.sleep(GATHER_SECONDS)

    async def turn(self) -> bool:
        """Read a page for those at the front, and one for some that are behind. Whether there is more."""
        if self._stale:
            await self._refresh()
        if not self.hooks:
            return False
        upto = await self.db.read(self._settled.look)
        more = await self._at_the_front(upto)
        at = time.monotonic()
        waiting = [hook for hook in self.behind if self.full.get(hook, 0.0) <= at]
        for hook in islice(waiting, BEHIND_AT_ONCE):
            more |= await self._one(self.hooks[hook], min(upto, self.front))
        await self._pass_over()
        return more

    async def _refresh(self) -> None:
        """Know which there are, and how far those were told that are new here."""
        self._stale = False
        found = {hook.id: hook for hook in await self.db.read(webhooks.enabled)}
        if not self.hooks:
            self.front = await self.db.read(logged.last_line) if found else 0
        for key, hook in found.items():
            if hook.cursor < self.front and (key not in self.hooks or hook.enabled != self.hooks[key].enabled):
                self.behind[key] = hook.cursor
        self.hooks = found
        self.behind = {key: number for key, number in self.behind.items() if key in found}
        self.full = {key: until for key, until in self.full.items() if key in found}
        self._deliveries = {one: key for one, key in self._deliveries.items() if key in found}

    async def _at_the_front(self, upto: int) -> bool:
        """Hand on what is new. Whether there may be more."""
        if upto <= self.front:
            return False
        page = await self._page(self.front, upto)
        end = page[-1]["number"] if len(page) == PAGE else upto
        of_project = defaultdict[str, list[Webhook]](list)
        for hook in self.hooks.values():
            if hook.id not in self.behind:
                of_project[hook.project_id].append(hook)
        for project_id in {event["project_id"] for event in page}:
            for hook in of_project.get(project_id, ()):
                if wanted := _wanted(hook, page):
                    await self._hand_on(hook, wanted, end)
        self.front = end
        return len(page) == PAGE

    async def _one(self, hook: Webhook, upto: int) -> bool:
        """Hand on to one that is behind. Whether there may be more."""
        page = await self._page(self.behind[hook.id], upto)
        end = page[-1]["number"] if len(page) == PAGE else upto
        self.behind[hook.id] = end
        if wanted := _wanted(hook, page):
            await self._hand_on(hook, wanted, end)
        if self.behind.get(hook.id) == self.front:
            del self.behind[hook.id]
        elif hook.id in self.behind:  # the others are before it at the next turn
            self.behind[hook.id] = self.behind.pop(hook.id)
        return len(page) == PAGE or hook.id not in self.behind

    async def _page(self, after: int, upto: int) -> Sequence[Event]:
        found = await self.db.read(logged.lines_after, after, PAGE)
        return [line for line in found if line["number"] <= upto]

    async def _hand_on(self, hook: Webhook, events: Sequence[Event], end: int) -> None:
        number, enqueued = await self.db.write(enqueue_events, hook.id, events, end)
        self._deliveries |= dict.fromkeys(enqueued, hook.id)
        if number < end:
            self.behind[hook.id] = number
            self.full[hook.id] = time.monotonic() + FULL_SECONDS

    async def _pass_over(self) -> None:
        """Write down now and then that those at the front were told all: a start need not read it again."""
        at, number = self._passed
        if number < self.front and time.monotonic() >= at + PASS_SECONDS:
            if ids := [key for key in self.hooks if key not in self.behind]:
                await self.db.write(webhooks.pass_over, ids, self.front)
            self._passed = time.monotonic(), self.front


def _wanted(hook: Webhook, page: Sequence[Event]) -> list[Event]:
    """What a webhook is to be told of: never of deliveries."""
    return [
        event
        for event in page
        if event["project_id"] == hook.project_id
        and event["kind"] != KIND
        and (hook.format != Format.CINDER or event["kind"] in KINDS)
        and hook.wants(event["kind"], event["outcome"])
    ]
