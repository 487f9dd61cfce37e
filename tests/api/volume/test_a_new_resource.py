"""A resource of ``tests/resources`` is served without a change to Pumice: what it does not declare, it has."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.databases import new_sqlite
from volume_cloud import StubTokens

from pumice.api.context import ApiContext
from pumice.api.faults import named_fault
from pumice.api.service import Service
from pumice.api.volume.versions import VERSIONS
from pumice.model.tunables import Tunables
from pumice.operations.completions import Completions
from pumice.store.open import open_database

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "tests/resources"))

from toy_shelf.routes import ROUTES  # noqa: E402
from toy_shelf.rows import shelves  # noqa: E402


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    db = open_database(new_sqlite(tmp_path / "pumice.db"))
    await db.write(lambda tx: shelves.create(tx.connection))
    ctx = ApiContext(db, Completions(db), StubTokens(), Tunables(api_max_limit=2))
    service = Service(
        ctx, prefix="/volume", types=("volume",), routes=ROUTES, fault=named_fault, versions=VERSIONS
    )
    headers = {"X-Auth-Token": "member", "OpenStack-API-Version": "volume 3.71"}
    transport = httpx.ASGITransport(service)  # type: ignore[arg-type]
    async with httpx.AsyncClient(
        transport=transport, base_url="http://cloud/volume/v3", headers=headers
    ) as found:
        yield found
    await db.close()


async def made(client: httpx.AsyncClient, name: str, **wanted: Any) -> str:
    reply = await client.post("/shelves", json={"shelf": {"name": name, **wanted}})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["shelf"]["id"])


async def test_it_is_made_shown_and_deleted_and_another_projects_is_not_there(
    client: httpx.AsyncClient,
) -> None:
    one = await made(client, "oak", size=3)
    assert (await client.get(f"/shelves/{one}")).json()["shelf"]["size"] == 3
    for method in ("GET", "DELETE"):
        assert (
            await client.request(method, f"/shelves/{one}", headers={"X-Auth-Token": "other"})
        ).status_code == 404
    assert (await client.delete(f"/shelves/{one}", headers={"X-Auth-Token": "reader"})).status_code == 403
    assert (await client.delete(f"/shelves/{one}")).status_code == 204
    assert (await client.get(f"/shelves/{one}")).status_code == 404
    assert (await client.post("/shelves", json={"shelf": {"name": "x", "colour": 1}})).status_code == 400


async def test_its_list_has_pages_filters_and_an_order(client: httpx.AsyncClient) -> None:
    oak, ash, elm = [await made(client, name, size=size) for name, size in (("oak", 1), ("ash", 2), ("elm", 3))]

    async def listed(query: str) -> list[str]:
        reply = await client.get(f"/shelves?{query}")
        assert reply.status_code == 200, reply.text
        return [row["id"] for row in reply.json()["shelves"]]

    assert await listed("") == [elm, ash]
    first = (await client.get("/shelves?sort=name:asc")).json()
    assert [row["id"] for row in first["shelves"]] == [ash, elm]
    following = httpx.URL(first["shelves_links"][0]["href"]).params
    assert following["marker"] == elm
    assert await listed(str(following)) == [oak]
    assert await listed("name~=a&sort=size:asc") == [oak, ash]
    assert (await client.get("/shelves?marker=gone")).status_code == 404
    assert (await client.get("/shelves?limit=-1")).status_code == 400
    assert (await client.get("/shelves?weight=9")).status_code == 400
    assert (await client.get("/shelves", headers={"X-Auth-Token": "other"})).json() == {"shelves": []}
