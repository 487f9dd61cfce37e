"""Lists take turns: a project that asks for many at once waits for itself, and nobody waits for it."""

import asyncio
from typing import Any

import pytest
from tests.patience import patience

from pumice.api import paging
from pumice.api.call import Call, Reply
from pumice.api.context import ApiContext
from pumice.api.policy import ANYBODY, Rule
from pumice.api.routing import Route
from pumice.api.service import Service
from pumice.model.ids import ProjectId, UserId
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.operations.completions import Completions
from pumice.store.open import open_database


class Tokens:
    """A token is the name of its project."""

    async def scope_of(self, token: str) -> Scope:
        return Scope(UserId("u"), ProjectId(token), frozenset({"member"}))


class Counted:
    """Handlers that wait until they are let go, and know how many of each project are inside."""

    def __init__(self) -> None:
        self.inside: list[str | None] = []
        self.most: dict[str | None, int] = {}
        self.go = asyncio.Event()

    async def handler(self, call: Call) -> Reply:
        project = call.who.project_id
        self.inside.append(project)
        self.most[project] = max(self.most.get(project, 0), self.inside.count(project))
        await self.go.wait()
        self.inside.remove(project)
        return Reply({})


async def ask(service: Service, path: str, project: str) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(_message: Any) -> None:
        pass

    head = {"headers": [(b"x-auth-token", project.encode())], "query_string": b""}
    await service({"type": "http", "method": "GET", "path": f"/x{path}", **head}, receive, send)


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
async def service(counted: Counted, database_url: str) -> Any:
    db = open_database(database_url)
    routes = [
        Route("GET", "/things", counted.handler, Rule("any", ANYBODY)),
        Route("GET", "/things/{id}", counted.handler, Rule("any", ANYBODY)),
        Route("GET", "/far", counted.handler, Rule("any", ANYBODY), waits=True),
    ]
    ctx = ApiContext(db, Completions(db), Tokens(), Tunables())
    yield Service(ctx, prefix="/x", routes=routes, fault=lambda *_: {})
    await db.close()


@pytest.mark.parametrize(("path", "most"), [("/things", 1), ("/things/1", 8), ("/far", 8)])
async def test_a_project_has_one_list_made_at_a_time_and_no_other_project_waits(
    service: Service, counted: Counted, path: str, most: int
) -> None:
    asking = [asyncio.create_task(ask(service, path, "one")) for _ in range(8)]
    asking += [asyncio.create_task(ask(service, path, "other"))]
    async with patience():
        while len(counted.inside) < most + 1:
            await asyncio.sleep(0.001)
        counted.go.set()
        await asyncio.gather(*asking)
    assert counted.most == {"one": most, "other": 1}


async def test_others_get_in_between_the_rows_of_a_long_list() -> None:
    between = 0

    async def others() -> None:
        nonlocal between
        while True:
            between += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    assert await paging.in_pieces(str, range(1000)) == list(map(str, range(1000)))
    other.cancel()
    assert between >= 1000 // paging.PIECE - 1
