"""Values that a torn disk or a hand in the database has left cost nobody else a list."""

from collections.abc import Callable
from functools import partial

import httpx
import pytest
import sqlalchemy as sa
from compute_cloud import Cloud

from pumice.api.image.service import image_service
from pumice.api.volume.service import volume_service
from pumice.images.files import ImageFiles
from pumice.model.errors import Invalid
from pumice.store import torn
from pumice.store.columns import Json, Time
from pumice.store.database import Transaction
from pumice.store.tables import metadata
from pumice.volumes import create, transfer

LISTS = {
    "volume/v3": (
        "volumes/detail", "volumes/detail?metadata=%7B%27a%27%3A%27b%27%7D", "snapshots/detail",
        "attachments/detail", "types", "messages", "os-services", "scheduler-stats/get_pools?detail=true",
        "volume-transfers/detail",
        "limits", "volumes/detail?sort=created_at:asc",
    ),
    "compute/v2.1": (
        "servers/detail", "servers/detail?flavor=42", "servers/detail?tags=a", "flavors/detail", "os-services",
        "limits",
    ),
    "image/v2": ("images",),
}  # fmt: skip


def tear(tx: Transaction, kinds: tuple[type, ...]) -> int:
    """Write something else into every such column of every row. How many columns."""
    number = 0
    is_sqlite = tx.connection.dialect.name == "sqlite"
    for table in metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, kinds) and (is_sqlite or isinstance(column.type, Json)):
                what = "'{torn'" if is_sqlite else "'\"torn\"'"
                tx.execute(sa.text(f"UPDATE {table.name} SET {column.name} = {what}"))  # noqa: S608
                number += 1
    return number


def dream(tx: Transaction) -> None:
    """Give everything a state that no version knows."""
    for table in metadata.sorted_tables:
        for column in {"status", "state", "task"} & {column.name for column in table.columns}:
            tx.execute(sa.text(f"UPDATE {table.name} SET {column} = 'dreaming'"))  # noqa: S608


TEARING: dict[str, tuple[Callable[[Transaction], object], set[tuple[str, str]]]] = {
    "torn": (
        partial(tear, kinds=(Json, Time)),
        {("volumes", "metadata"), ("servers", "flavor"), ("attachments", "connector")},
    ),
    "of no known state": (
        dream,
        {(name, "status") for name in ("volumes", "servers", "attachments")} | {("operations", "state")},
    ),
}


@pytest.mark.parametrize(("tearing", "named"), TEARING.values(), ids=TEARING)
async def test_no_list_is_lost_by_what_cannot_be_read(
    cloud: Cloud, tearing: Callable[[Transaction], object], named: set[tuple[str, str]]
) -> None:
    disk, other = await cloud.volume(), await cloud.volume()
    await cloud.attach(await cloud.server(), disk)
    who = cloud.who("member")
    await cloud.db.write(transfer.offer, who, other, "offer", no_snapshots=False)
    images = ImageFiles(cloud.path / "images")
    services = {
        "volume/v3": volume_service(cloud.ctx),
        "compute/v2.1": cloud.service,
        "image/v2": image_service(cloud.ctx, images),
    }
    await cloud.until_quiet()
    await cloud.kill()
    assert await cloud.db.read(torn.cells) == []
    await cloud.db.write(lambda tx: tearing(tx) and None)
    headers = {"X-Auth-Token": "admin", "OpenStack-API-Version": "volume 3.71, compute 2.90"}
    for prefix, paths in LISTS.items():
        transport = httpx.ASGITransport(app=services[prefix])  # type: ignore[arg-type]
        base = f"http://cloud/{prefix}/"
        async with httpx.AsyncClient(transport=transport, base_url=base, headers=headers) as client:
            for path in paths:
                for everybodys in ("", "all_tenants=1"):
                    answer = await client.get(f"{path}{'&' if '?' in path else '?'}{everybodys}")
                    assert answer.status_code in ({200, 400} if everybodys else {200}), (path, answer.text)
    assert named <= {(table, column) for table, _, column in await cloud.db.read(torn.cells)}
    if tearing is not dream:
        with pytest.raises(Invalid, match="cannot be read"):  # else it might be made where its type forbids
            await cloud.db.write(create.accept, who, create.Wanted(size=1), cloud.tunables)
