"""The verdict: what contradicts itself is told to administrators, and one look serves for a while."""

from collections.abc import Awaitable, Callable

import httpx
import sqlalchemy as sa
from volume_cloud import Cloud

from pumice.store.database import Transaction
from pumice.store.tables import volumes

Own = Callable[..., Awaitable[httpx.Response]]


async def test_what_is_stuck_is_told_in_a_sentence(cloud: Cloud, own: Own) -> None:
    volume = (await cloud.make())["id"]
    first = (await own("GET", "/audit", who="admin")).json()["audit"]
    assert first["well"] and not first["violations"]

    def by_hand(tx: Transaction) -> None:
        tx.execute(sa.update(volumes).where(volumes.c.id == volume).values(status="deleting"))

    await cloud.db.write(by_hand)
    assert (await own("GET", "/audit", who="admin")).json()["audit"] == first, "the last look is kept"
    cloud.service.ctx.audited = None
    second = (await own("GET", "/audit", who="admin")).json()["audit"]
    assert not second["well"] and volume in {one["id"] for one in second["violations"]}
    assert all(one["text"] for one in second["violations"])


async def test_it_is_for_administrators(own: Own) -> None:
    assert (await own("GET", "/audit")).status_code == 403
